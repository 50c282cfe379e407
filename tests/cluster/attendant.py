"""The cluster's own small services in one process inside its network namespace: DNS and GPUs.

Started as `python -m tests.cluster.attendant CERTIFICATES GPUS_PER_NODE`. It follows Services and
EndpointSlices to answer the pods' DNS queries, and Nodes to keep their pretended GPUs advertised.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

from tests.cluster.api import ApiClient, ApiError
from tests.cluster.dns_records import Records
from tests.cluster.dns_wire import MAX_UDP_BYTES, build_answer, parse_question
from tests.cluster.gpus import keep_gpus
from tests.cluster.spec import API_PORT, GATEWAY

DNS_PORT = 53
_MAX_TCP_BYTES = 65535
_RETRY_SECONDS = 0.2
Object = dict[str, Any]
_log = logging.getLogger("attendant")


class DnsProtocol(asyncio.DatagramProtocol):
    """Answers queries by UDP."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket to answer by."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Answer one query; a malformed one gets none."""
        answer = answer_query(self._records, data, MAX_UDP_BYTES)
        if answer and self._transport:
            self._transport.sendto(answer, addr)


def answer_query(records: Records, packet: bytes, max_bytes: int) -> bytes | None:
    """The response to a query packet, None if it is none."""
    try:
        question = parse_question(packet)
    except (ValueError, IndexError, struct.error):
        return None
    return build_answer(question, records.resolve(question.name), max_bytes)


async def serve_dns(records: Records) -> None:
    """Answer by UDP and TCP until the process is killed."""

    async def answer_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(2), "big")
                answer = answer_query(records, await reader.readexactly(size), _MAX_TCP_BYTES)
                if answer is None:
                    break
                writer.write(len(answer).to_bytes(2, "big") + answer)
        except (asyncio.IncompleteReadError, OSError):
            pass  # the client has hung up, which is how such a conversation ends
        writer.close()

    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(
        lambda: DnsProtocol(records), local_addr=(GATEWAY, DNS_PORT)
    )
    server = await asyncio.start_server(answer_stream, GATEWAY, DNS_PORT)
    await server.serve_forever()


def follow(client: ApiClient, path: str, apply: Callable[[str, Object], None]) -> None:
    """Watch for ever; what vanished while the watch was cut off is reported as deleted."""
    known: dict[tuple[str, str], Object] = {}
    while True:
        try:
            follow_once(client.watch(path), known, apply)
        except (OSError, http.client.HTTPException, ValueError, ApiError) as error:
            # An answer that is cut off half-way is no HTTP or no JSON.
            _log.info("watch of %s: %s; again", path, error)
        time.sleep(_RETRY_SECONDS)


def follow_once(
    events: Iterable[tuple[str, Object]],
    known: dict[tuple[str, str], Object],
    apply: Callable[[str, Object], None],
) -> None:
    """Apply one watch's events to its end, and keep `known` the objects that are there, however it ends."""
    listed: set[tuple[str, str]] = set()
    for event, item in events:
        if event == "SYNCED":
            for key in known.keys() - listed:
                apply("DELETED", known[key])
                del known[key]
            continue
        key = (item["metadata"].get("namespace", ""), item["metadata"]["name"])
        if event == "DELETED":
            apply(event, item)
            known.pop(key, None)
            continue
        listed.add(key)
        known[key] = item
        apply(event, item)


def main() -> None:
    """Run until killed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    certificates, gpus = Path(sys.argv[1]), int(sys.argv[2])
    client = ApiClient(GATEWAY, API_PORT, certificates)
    records = Records()
    followed: list[tuple[str, Callable[[str, Object], None]]] = [
        ("/api/v1/services", records.apply_service),
        ("/apis/discovery.k8s.io/v1/endpointslices", records.apply_slice),
    ]
    if gpus:
        followed.append(("/api/v1/nodes", keep_gpus(client, gpus)))
    for path, apply in followed:
        threading.Thread(target=follow, args=(client, path, apply), daemon=True).start()
    asyncio.run(serve_dns(records))


if __name__ == "__main__":
    main()
