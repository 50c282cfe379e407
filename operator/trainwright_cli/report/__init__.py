"""`trainwright report` and `compare`: one self-contained HTML page about one or more runs.

`page` turns resources and histories into HTML; `curves` and `timeline` draw inline SVG. All of it is
pure: where the data comes from is the command's business.
"""
