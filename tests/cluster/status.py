"""What `status` shows: one dictionary, for people as text and for machines as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.cluster.cluster import Cluster, start_command
from tests.cluster.errors import ClusterError
from tests.cluster.gpus import GPU_RESOURCE
from tests.cluster.processes import Process
from tests.cluster.start import is_node_ready
from tests.cluster.state import load_state

Status = dict[str, Any]


def fetch_status(name: str) -> Status:
    """The cluster as it is now; raises ClusterError if there is none of this name."""
    state = load_state(name)
    if state is None:
        raise ClusterError(f"there is no cluster {name!r}; start it: {start_command(name)}")
    cluster = Cluster(state)
    faults = cluster.find_faults() if state.ready else ["its start was not finished"]
    return {
        "name": name,
        "faults": faults,
        "environment": cluster.environment(),
        "innerS3Endpoint": cluster.inner_s3_endpoint if state.spec.s3 else "",
        "spec": state.spec.to_json(),
        "nodes": [] if faults else _fetch_nodes(cluster),
        "processes": [_describe_process(process) for process in state.processes.values()],
        "timings": state.timings,
    }


def format_status(status: Status) -> str:
    """The same for people."""
    faults = "\n".join(status["faults"])  # each with the end of a log
    lines = [f"cluster {status['name']}: {faults or 'healthy'}"]
    for node in status["nodes"]:
        ready = "Ready" if node["ready"] else "NotReady"
        lines.append(f"  {node['name']:<24} {ready:<9} {GPU_RESOURCE}={node['gpus']}")
    for process in status["processes"]:
        life = f"pid {process['pid']}, {process['memoryMiB']} MiB" if process["alive"] else "ended"
        lines.append(f"  {process['name']:<24} {life}")
    lines += [
        f"  {key}={value}" for key, value in status["environment"].items() if "SECRET" not in key
    ]
    return "\n".join(lines)


def _fetch_nodes(cluster: Cluster) -> list[Status]:
    return [
        {
            "name": node["metadata"]["name"],
            "ready": is_node_ready(node),
            "gpus": int(node["status"].get("allocatable", {}).get(GPU_RESOURCE, 0)),
        }
        for node in cluster.client.get("/api/v1/nodes")["items"]
    ]


def _describe_process(process: Process) -> Status:
    alive = process.is_alive()
    memory = _read_memory_mib(process.first_child() or process.pid) if alive else 0
    return {"name": process.name, "pid": process.pid, "alive": alive, "memoryMiB": memory}


def _read_memory_mib(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return 0
    return pages * 4096 // 2**20
