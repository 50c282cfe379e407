"""Draws the Grafana dashboards as PNG files from the answers of a real Prometheus.

`python -m tools.pictures` draws those of the docs from recorded answers, or any from a running server.
No Grafana is needed; what it would show - rows, titles, units, legends - is drawn from the same JSON.
"""
