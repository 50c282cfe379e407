"""Side-by-side measurements; `make bench` runs them, `make test` does not."""
