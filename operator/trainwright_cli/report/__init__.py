"""`trainwright report` and `compare`: one self-contained HTML page about one or more runs.

`page` turns resources and histories into HTML; `curves` and `timeline` draw inline SVG. These are
pure; `writing` asks the cluster and the store for the data and writes the file.
"""
