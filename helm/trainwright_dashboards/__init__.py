"""Dashboards, recording rules and alerts as code; the chart ships what `generate` writes from them.

Queries spell metrics only through `trainwright_api.metrics`, so a renamed metric breaks the build
and not somebody's screen. JSON is never edited by hand.
"""
