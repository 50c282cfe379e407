"""Runs as a cluster would return them, each in another state, with figures that tests look for."""

import math
from typing import Any

from tests.unit.cli.manifests import a_fine_tune_job, a_training_run

CREATED = "2026-01-02T02:10:00Z"
PLAN: dict[str, Any] = {
    "zeroStage": 1,
    "microSequences": 2,
    "accumulationSteps": 2,
    "activationCheckpointing": "None",
    "numDevices": 4,
    "totalSteps": 400,
    "totalTokens": 1_638_400,
    "parameters": 12_345_678,
    "trainableParameters": 12_345_678,
    "memory": [
        {"name": "parameters", "giB": 0.5, "reason": "12,345,678 parameters in BF16"},
        {"name": "optimizer", "giB": 1.25, "reason": "FP32 copies and two moments, shared by 4"},
        {"name": "activations", "giB": 6.5, "reason": "2 sequences of 256 tokens in 8 layers"},
    ],
    "memoryGiB": 8.25,
    "capacityGiB": 79.6,
    "fits": True,
    "flopsPerToken": 8.4e7,
    "decisions": [
        {
            "field": "zeroStage",
            "value": "1",
            "reason": "the optimizer's state fits when it is shared; higher stages only add traffic",
        }
    ],
}


def a_progress(step: int = 120, total: int = 400, **more: Any) -> dict[str, Any]:
    fields = {
        "step": step,
        "totalSteps": total,
        "percent": 100 * step / total,
        "loss": 4.21,
        "validationLoss": 4.5,
        "tokensPerSecond": 123456.0,
        "mfu": 0.412,
        "learningRate": 0.001,
        "gradientNorm": 1.25,
        "tokens": 491520,
        "etaSeconds": 200,
    }
    return fields | more


def an_attempt(number: int, **more: Any) -> dict[str, Any]:
    fields = {
        "number": number,
        "job": f"gpt-{number}",
        "startedAt": f"2026-01-02T02:{10 + 4 * number}:00Z",
        "endedAt": f"2026-01-02T02:{13 + 4 * number}:00Z",
        "outcome": "Failed",
        "cause": "Infrastructure",
        "pod": f"gpt-{number}-worker-0",
        "node": "gpu-node-7",
        "message": "NCCL: the link to rank 3 is down",
        "resumedFromStep": 40 * (number - 1),
        "lastStep": 40 * number + 5,
        "stepsLost": 5,
    }
    return fields | more


def a_checkpoint(step: int, **more: Any) -> dict[str, Any]:
    fields = {
        "step": step,
        "uri": f"s3://checkpoints/team/gpt/step-{step:06d}/",
        "sizeBytes": 150_000_000,
        "savedAt": "2026-01-02T02:59:00+00:00",
        "verified": True,
        "loss": 4.3,
    }
    return fields | more


def a_status(**more: Any) -> dict[str, Any]:
    """The status of a run in its third attempt on four GPUs."""
    running = an_attempt(3, endedAt=None, outcome=None, cause=None, pod=None, node=None)
    running |= {"message": None, "lastStep": 120, "stepsLost": None}
    status: dict[str, Any] = {
        "phase": "Running",
        "attempt": 3,
        "plan": PLAN,
        "progress": a_progress(),
        "hardware": {
            "device": "NVIDIA H100 80GB HBM3",
            "accelerators": 4,
            "utilizationPercent": 93.0,
            "worstRank": 3,
            "temperatureCelsius": 88.0,
            "summary": "4x H100 93% 61.0/80GiB 2400W",
        },
        "checkpoints": {
            "latest": a_checkpoint(120),
            "best": a_checkpoint(80),
            "items": [a_checkpoint(120), a_checkpoint(80), a_checkpoint(40, verified=False)],
        },
        "attempts": [an_attempt(1), an_attempt(2, cause="OutOfMemory"), running],
    }
    return status | more


def a_run(name: str, manifest: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    run = manifest or a_training_run(name)
    run["metadata"] |= {"namespace": "team", "creationTimestamp": CREATED}
    return run | {"status": status}


def a_detail() -> dict[str, Any]:
    """What pods, events and log of the running run say."""
    return {
        "history": [
            {"step": step, "time": 1.0 * step, "loss": 3 + 6 * math.exp(-step / 40)}
            for step in range(1, 121)
        ],
        "ranks": [
            {
                "rank": rank,
                "device": "GPU",
                "utilization": 0.97 - 0.2 * (rank == 3),
                "memory_used_bytes": 61 * 2**30,
                "memory_total_bytes": 80 * 2**30,
                "power_watts": 600.0 + rank,
                "temperature_celsius": 70.0 + 6 * rank,
            }
            for rank in range(4)
        ],
        "events": [
            {
                "seen_at": "2026-01-02T02:59:30+00:00",
                "is_warning": True,
                "reason": "AttemptFailed",
                "message": "attempt 2: OutOfMemory in gpt-2-worker-0",
                "count": 2,
            }
        ],
        "log": [f"step {step} loss {4.3 - step / 1000:.3f}" for step in range(60, 121)],
        "log_title": "Log of gpt-3-master-0",
    }


def a_content() -> dict[str, Any]:
    """Four runs: one in each of the states that a person looks for."""
    waiting: dict[str, Any] = {
        "phase": "Starting",
        "message": "0/8 nodes have 4 free nvidia.com/gpu",
    }
    failed = (
        "UserError: spec.data.sources[0].uri: got nothing at s3://datasets/chat.jsonl; check it"
    )
    return {
        "runs": [
            a_run("gpt", **a_status()),
            a_run("wide", **waiting),
            a_run(
                "chat", a_fine_tune_job("chat"), phase="Failed", reason="UserError", message=failed
            ),
            a_run("old", phase="Succeeded", progress=a_progress(400, etaSeconds=None)),
        ],
        "details": {"gpt": a_detail()},
    }
