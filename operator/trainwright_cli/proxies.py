"""Which proxy of the environment leads to a server: for this machine's own addresses none, as for kubectl.

The AWS and the Kubernetes client would send them to the proxy too, which has another loopback. Used by
`cluster`, `stores`, `local.trainer`, the demo and its questions to Prometheus.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit
from urllib.request import getproxies

_LOOPBACK = "127.0.0.1,localhost,::1"


def is_loopback(url: str) -> bool:
    """Whether a URL's server is this machine by its loopback address, such as http://127.0.0.1:9000."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def find_proxy(url: str) -> tuple[str | None, str | None]:
    """Return the proxy for a URL's scheme, if there is one, and the hosts that it is not for (NO_PROXY)."""
    proxies = {} if is_loopback(url) else getproxies()
    proxy = proxies.get(urlsplit(url).scheme)
    if proxy and "://" not in proxy:  # such as proxy.example:3128
        proxy = f"http://{proxy}"
    return proxy, proxies.get("no")


def spare_loopback(environment: Mapping[str, str]) -> dict[str, str]:
    """Return NO_PROXY, in both spellings, with loopback: for a process whose clients ask the proxy too."""
    given = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    hosts = given if given == "*" else ",".join(filter(None, (_LOOPBACK, given)))
    return {"no_proxy": hosts, "NO_PROXY": hosts}
