"""Rules that no single part can keep: generated files, names, images and locks agree."""
