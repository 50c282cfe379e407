"""A real browser without a window: opens a page and answers what it made of it."""
