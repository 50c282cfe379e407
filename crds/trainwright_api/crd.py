"""Builds the CustomResourceDefinition of each kind; `generate` writes them as YAML."""

from typing import Any

from trainwright_api import names
from trainwright_api.resources import KINDS, Resource
from trainwright_api.schema import build_rule, build_schema

# Of `kubectl get`: name, JSON path, type, priority (1: only with -o wide), description.
COLUMNS = (
    ("PHASE", ".status.phase", "string", 0, "What the run does."),
    ("STEP", ".status.progress.stepText", "string", 0, "Optimizer steps done and planned."),
    ("LOSS", ".status.progress.lossText", "string", 0, "Loss of the last step."),
    ("TOK/S", ".status.progress.tokensPerSecondText", "string", 0, "Input tokens per second."),
    (
        "CHECKPOINT",
        ".status.checkpoints.latest.step",
        "integer",
        0,
        "Step of the newest checkpoint.",
    ),
    ("ETA", ".status.progress.etaText", "string", 0, "Time left."),
    ("MFU", ".status.progress.mfuText", "string", 1, "Model FLOPs utilisation."),
    ("GPU", ".status.hardware.summary", "string", 1, "Devices and their use."),
    ("NODES", ".spec.workers.nodes", "integer", 1, "Pods of the run."),
    ("ATTEMPT", ".status.attempt", "integer", 1, "Number of the attempt."),
    ("REASON", ".status.reason", "string", 1, "Why it is in this phase."),
    ("AGE", ".metadata.creationTimestamp", "date", 0, "Time since it was created."),
)


def build_crd(kind: str) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a kind."""
    model = KINDS[kind]
    plural = names.PLURALS[kind]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [names.SHORT_NAMES[kind]],
                "categories": [names.CATEGORY],
            },
            "versions": [_build_version(model)],
        },
    }


def _build_version(model: type[Resource]) -> dict[str, Any]:
    return {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {
                "name": name,
                "jsonPath": path,
                "type": type_,
                "priority": priority,
                "description": text,
            }
            for name, path, type_, priority, text in COLUMNS
        ],
        "schema": {"openAPIV3Schema": _build_root(model)},
    }


def _build_root(model: type[Resource]) -> dict[str, Any]:
    status = build_schema(model, with_defaults=False)["properties"]["status"]
    spec = build_schema(model)["properties"]["spec"]
    root: dict[str, Any] = {
        "type": "object",
        "description": (model.__doc__ or "").strip(),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            # A bound on the name, so that the server can bound the cost of the rule on it.
            "metadata": {
                "type": "object",
                "properties": {"name": {"type": "string", "maxLength": 253}},
            },
            "spec": spec | {"description": "What to train, on what, where and how long."},
            "status": status
            | {"description": "What is known of the run; written by the operator."},
        },
    }
    if model.RULES:
        root["x-kubernetes-validations"] = [build_rule(rule) for rule in model.RULES]
    return root
