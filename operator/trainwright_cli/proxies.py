"""Which proxy of the environment leads to a server: for this machine's own addresses none, as for kubectl.

The AWS and the Kubernetes client would send them to the proxy too, which has another loopback. Used by
`cluster`, `stores`, the demo and its questions to Prometheus.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit
from urllib.request import getproxies


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
