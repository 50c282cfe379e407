"""One file per command; `app` imports them by name."""
