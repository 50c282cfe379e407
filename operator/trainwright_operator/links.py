"""The address of a run's dashboard in Grafana, for its status; pure.

A status field and not an annotation: what the operator knows goes into the status, metadata is the
user's.
"""

from datetime import datetime, timedelta

from trainwright_api import names
from trainwright_api.resources import Resource
from trainwright_api.status import RunStatus

from trainwright_operator.untrusted import parse_time

MARGIN = timedelta(minutes=1)


def build_dashboard_url(
    grafana_url: str | None, resource: Resource, status: RunStatus
) -> str | None:
    """Return the Run dashboard with namespace, run and the run's own time filled in; None without Grafana."""
    if not grafana_url:
        return None
    metadata = resource.metadata
    query = {
        "var-namespace": metadata.namespace or "default",
        "var-run": metadata.name,
        "from": _milliseconds(parse_time(status.started_at), -MARGIN) or "now-30m",
        "to": _milliseconds(parse_time(status.finished_at), MARGIN) or "now",
    }
    # Names of objects need no escaping: letters, digits, dots and dashes.
    text = "&".join(f"{key}={value}" for key, value in query.items())
    return f"{grafana_url.rstrip('/')}/d/{names.RUN_DASHBOARD_UID}?{text}"


def _milliseconds(at: datetime | None, margin: timedelta) -> str | None:
    return None if at is None else str(round((at + margin).timestamp() * 1000))
