"""What the operator may do, in one table; the chart's roles are generated from it.

Least rights: it reads no Secrets, and changes only what it has made.
"""

from dataclasses import dataclass

from trainwright_api import names


@dataclass(frozen=True, slots=True)
class Permission:
    """One rule of a role."""

    api_group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    why: str


_RUNS = tuple(names.PLURALS.values())

PERMISSIONS: tuple[Permission, ...] = (
    Permission(names.GROUP, _RUNS, ("get", "list", "watch"), "Follow the runs."),
    Permission(names.GROUP, _RUNS, ("delete",), "Remove finished runs after their TTL."),
    Permission(
        names.GROUP, _RUNS, ("patch",), "Suspend a run that wastes its devices, if it says so."
    ),
    Permission(
        names.GROUP,
        tuple(f"{plural}/status" for plural in _RUNS),
        ("patch",),
        "Write their status.",
    ),
    Permission(
        "kubeflow.org",
        ("pytorchjobs",),
        ("list", "watch", "create", "delete"),
        "Run one PyTorchJob per attempt.",
    ),
    Permission(
        "",
        ("configmaps",),
        ("create", "patch", "delete"),
        "Hand the resolved run to the pods of an attempt.",
    ),
    Permission(
        "",
        ("pods",),
        ("list", "watch", "delete"),
        "See how pods end, remove those that are stuck.",
    ),
    Permission("", ("events",), ("list", "create"), "Tell people; read why a pod does not start."),
    Permission(
        "apiextensions.k8s.io",
        ("customresourcedefinitions",),
        ("list", "watch"),
        "Notice when the PyTorchJob kind is installed.",
    ),
)
