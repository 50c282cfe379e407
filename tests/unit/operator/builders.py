"""Builders of what the operator sees: runs, pods and jobs, as the API server returns them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from trainwright_api import names
from trainwright_api.resources import TrainingRun
from trainwright_api.status import ConditionStatus, RunStatus
from trainwright_operator.facts import JobFacts, Observed, PodFacts, format_time, parse_pod

T0 = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
UID = "11111111-2222-3333-4444-555555555555"
KEY = f"team/{UID}"  # of the run in the operator's world


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def raw_run(*, status: dict[str, Any] | None = None, nodes: int = 2, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": "TrainingRun",
        "metadata": {
            "name": "gpt",
            "namespace": "team",
            "uid": UID,
            "generation": 1,
            "resourceVersion": "1",
            "creationTimestamp": format_time(T0),
        },
        "spec": {
            "model": {"architecture": "llama"},
            "tokenizer": {"train": {"vocabularySize": 1000}},
            "data": {"sources": [{"uri": "s3://data/", "format": "Text"}], "sequenceLength": 64},
            "budget": {"steps": 100},
            "batch": {"globalSequences": 8},
            "workers": {"nodes": nodes, "accelerator": "None"},
            "checkpoints": {"store": {"uri": "s3://runs/", "credentialsSecret": "s3"}},
            **spec,
        },
        **({"status": status} if status else {}),
    }


def run(**changes: Any) -> TrainingRun:
    return TrainingRun.model_validate(raw_run(**changes))


def attempt(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {"number": number, "job": f"gpt-{number}", "startedAt": format_time(T0), **fields}


def accepted() -> dict[str, Any]:
    return {
        "type": "Accepted",
        "status": "True",
        "reason": "Valid",
        "message": "the run is valid",
        "lastTransitionTime": format_time(T0),
    }


def running_status(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "phase": "Running",
        "attempt": number,
        "attempts": [attempt(number)],
        "conditions": [accepted()],
        **fields,
    }


def checkpoint(step: int, *, saved_at: float = 30) -> dict[str, Any]:
    return {
        "step": step,
        "uri": f"s3://runs/team/gpt/step-{step:06d}/",
        "sizeBytes": 1,
        "savedAt": format_time(at(saved_at)),
        "verified": True,
    }


def pod(
    index: int = 0,
    *,
    number: int = 1,
    phase: str = "Running",
    exit_code: int | None = None,
    ended_at: float = 60,
    deleted_at: float | None = None,
    reason: str = "Error",
    said: str | None = None,
    pod_reason: str | None = None,
    is_gone: bool = False,
    **status: Any,
) -> PodFacts:
    """Pod 0 is the master, the others are workers; a failure is seen when it happens."""
    role = "master" if index == 0 else "worker"
    state: dict[str, Any] = {"running": {}}
    if exit_code is not None:
        state = {
            "terminated": {
                "exitCode": exit_code,
                "reason": "Completed" if exit_code == 0 else reason,
                "finishedAt": format_time(at(ended_at)),
                **({"message": said} if said else {}),
            }
        }
        phase = "Succeeded" if exit_code == 0 else "Failed"
    name = f"gpt-{number}-{role}-{max(0, index - 1)}"
    raw = {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "creationTimestamp": format_time(T0),
            **({} if deleted_at is None else {"deletionTimestamp": format_time(at(deleted_at))}),
            "labels": {
                names.LABEL_ATTEMPT: str(number),
                names.LABEL_REPLICA_TYPE: role,
                names.LABEL_RUN_UID: UID,
            },
        },
        "spec": {"nodeName": f"node-{index}"},
        "status": {
            "phase": phase,
            **({"reason": pod_reason} if pod_reason else {}),
            "containerStatuses": [{"name": names.TRAINER_CONTAINER, "state": state}],
            **status,
        },
    }
    facts = parse_pod(raw, is_gone=is_gone)
    return replace(facts, failure_seen_at=at(ended_at)) if facts.has_failed else facts


def job(number: int = 1, *, has_ended: bool = False) -> JobFacts:
    return JobFacts(f"gpt-{number}", f"uid-gpt-{number}", 1, number, None, has_ended)


def observed(*pods: PodFacts, jobs: tuple[JobFacts, ...] = (job(),), **fields: Any) -> Observed:
    return Observed(jobs=jobs, pods=pods, **fields)


def condition_of(status: RunStatus, type_: str) -> ConditionStatus:
    return next(c for c in status.conditions if c.type == type_)
