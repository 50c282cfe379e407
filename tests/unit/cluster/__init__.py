"""The pure parts of the embedded cluster; the cluster itself is tested in tests/e2e."""
