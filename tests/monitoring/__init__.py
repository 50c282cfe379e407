"""Dashboards and alerts against the real Prometheus programs (Debian's package, unpacked only)."""
