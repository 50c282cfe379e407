"""Commands for those who build Trainwright; nothing that an image ships."""
