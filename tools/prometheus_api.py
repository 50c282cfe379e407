"""Questions to a Prometheus over HTTP: instant queries, range queries, alerts, targets.

Used by the pictures of the dashboards, the demo's last lines and the tests of monitoring.
"""

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from trainwright_cli.proxies import is_loopback

TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Sample:
    """One series of an instant query."""

    labels: dict[str, str]
    value: float


RangeSeries = tuple[dict[str, str], list[tuple[float, float]]]
"""Labels, and (Unix time, value) for each step that has one."""


class PrometheusApi:
    """A running server at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        # The environment's proxy has another loopback than this machine.
        proxies = [urllib.request.ProxyHandler({})] if is_loopback(url) else []
        self._opener = urllib.request.build_opener(*proxies)

    def is_ready(self) -> bool:
        """Whether it takes queries."""
        try:
            with self._opener.open(f"{self.url}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, HTTPException):  # nobody, or something else, listens there
            return False

    def query(self, expression: str, at: float | None = None) -> list[Sample]:
        """The series of an instant query, now or at a Unix time; ValueError on a bad expression."""
        when = {} if at is None else {"time": str(at)}
        result = self._get("query", query=expression, **when)["result"]
        if isinstance(result, list) and result and not isinstance(result[0], dict):
            return [Sample({}, float(result[1]))]  # a scalar
        return [Sample(row["metric"], float(row["value"][1])) for row in result]

    def query_range(
        self, expression: str, start: float, end: float, step_seconds: float
    ) -> list[RangeSeries]:
        """The series of a range query; ValueError on a bad expression."""
        times = {"start": str(start), "end": str(end), "step": str(step_seconds)}
        data = self._get("query_range", query=expression, **times)
        return [
            (row["metric"], [(float(at), float(value)) for at, value in row["values"]])
            for row in data["result"]
        ]

    def label_values(self, label: str, selector: str) -> set[str]:
        """The values that a label has in the series of a selector, as a dashboard's drop-down lists them."""
        return set(self._get(f"label/{label}/values", **{"match[]": selector}))

    def alerts(self) -> dict[str, str]:
        """The state (pending, firing) of every active alert by its name."""
        return {
            alert["labels"]["alertname"]: alert["state"] for alert in self._get("alerts")["alerts"]
        }

    def targets(self) -> list[dict[str, Any]]:
        """The scrape targets with their health."""
        return list(self._get("targets")["activeTargets"])

    def reload(self) -> None:
        """Have it read its configuration and rules anew."""
        request = urllib.request.Request(f"{self.url}/-/reload", method="POST")  # noqa: S310 - http only
        self._opener.open(request, timeout=TIMEOUT_SECONDS).close()

    def _get(self, path: str, **parameters: str) -> Any:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with self._opener.open(url, timeout=TIMEOUT_SECONDS) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(f"{parameters}: {error.read().decode()}") from error
        except (HTTPException, KeyError, TypeError) as error:
            raise ValueError(f"{self.url} does not answer as Prometheus does: {error!r}") from error
