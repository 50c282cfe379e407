"""What a person reads at the end: what was trained, how well, how long it took, what to type next."""

from collections.abc import Iterator, Mapping
from typing import Any

from trainwright_api.quantities import format_bytes, format_duration

from demo.place import JSON

WIDTH = 100


def describe_run(run: JSON) -> str:
    """Losses, checkpoints, restarts and samples of one finished run."""
    status = run.get("status", {})
    title = f"{run['kind']}/{run['metadata']['name']}"
    lines = [title, *_describe_losses(status), *_describe_attempts(status)]
    lines += [*_describe_checkpoints(status), *_describe_model(status.get("model") or {})]
    return "\n  ".join(lines)


def _describe_losses(status: JSON) -> Iterator[str]:
    progress = status.get("progress", {})
    first, last = progress.get("firstLoss"), progress.get("loss")
    validation = progress.get("validationLoss")
    if first is not None and last is not None:
        held_out = f", validation {validation:.3f}" if validation is not None else ""
        yield f"loss {first:.3f} -> {last:.3f}{held_out}"
    yield f"{progress.get('step', 0)} steps, {progress.get('tokens', 0):,} tokens"


def _describe_attempts(status: JSON) -> Iterator[str]:
    for attempt in status.get("attempts", []):
        resumed = attempt.get("resumedFromStep")
        lost = attempt.get("stepsLost")
        parts = [
            f"attempt {attempt['number']}: {attempt.get('outcome', 'not ended')}",
            f"({attempt['cause']})" if attempt.get("cause") else "",
            f"from step {resumed}" if resumed is not None else "",
            f"{lost} steps lost" if lost is not None else "",
        ]
        yield " ".join(part for part in parts if part)


def _describe_checkpoints(status: JSON) -> Iterator[str]:
    for item in status.get("checkpoints", {}).get("items", []):
        checked = "verified" if item.get("verified") else "not verified"
        yield f"checkpoint {item['uri']} ({format_bytes(item.get('sizeBytes', 0))}, {checked})"


def _describe_model(model: JSON) -> Iterator[str]:
    if not model:
        return
    yield f"model {model.get('uri')} ({format_bytes(model.get('sizeBytes') or 0)})"
    if model.get("adapterUri"):
        yield f"adapter {model['adapterUri']}"
    for sample in model.get("samples", []):
        yield f"prompt  {_shorten(sample['prompt'])}"
        yield f"  before  {_shorten(sample.get('before'))}"
        yield f"  after   {_shorten(sample.get('after'))}"


def _shorten(text: Any) -> str:
    """One line, escaped, cut to the width of a terminal."""
    shown = repr(str(text or ""))
    return shown if len(shown) <= WIDTH else shown[: WIDTH - 4] + "...'"


def describe_times(seconds_of_stage: Mapping[str, float], total: float) -> str:
    """How long each stage took."""
    rows = [
        f"  {format_duration(seconds):>7}  {name}" for name, seconds in seconds_of_stage.items()
    ]
    return "\n".join([*rows, f"  {format_duration(total):>7}  all"])
