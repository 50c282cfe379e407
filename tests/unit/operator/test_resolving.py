"""From a raw run to the resolved run: references, names, plans that do not fit."""

import asyncio
from typing import Any

import pytest
from trainwright_operator.build import find_secrets
from trainwright_operator.decide import decide
from trainwright_operator.facts import Observed
from trainwright_operator.observing import Observer
from trainwright_operator.resolving import Resolution, parse_run, resolve
from trainwright_operator.world import RunEntry, World

from tests.unit.operator.builders import at, condition_of, raw_run
from tests.unit.operator.small_cluster import SmallCluster

MODEL = {"architecture": "llama", "config": {"hidden_size": 4096, "num_hidden_layers": 32}}
GPUS = {"nodes": 1, "accelerator": "nvidia.com/gpu"}


def named(name: str, uid: str, *, kind: str = "TrainingRun", created: int = 0, **changes: Any) -> dict[str, Any]:  # fmt: skip
    raw = raw_run(**changes) | {"kind": kind}
    raw["metadata"] |= {"name": name, "uid": uid, "creationTimestamp": f"2026-01-01T12:00:{created:02d}Z"}  # fmt: skip
    if kind == "FineTuneJob":
        for field in ("model", "tokenizer"):
            del raw["spec"][field]
        data = {"sources": [{"uri": "s3://d/", "format": "Messages"}], "sequenceLength": 64}
        raw["spec"] |= {"data": data, "method": {"sft": {}}}
    return raw


def resolve_in(raw: dict[str, Any], *others: dict[str, Any]) -> Resolution:
    world = World()
    for each in (raw, *others):
        world.see_run(each)
    return resolve(parse_run(raw), 1, world)


def test_a_run_waits_for_the_one_that_it_starts_from() -> None:
    raw = named("chat", "b", kind="FineTuneJob", baseModel={"run": {"name": "gpt"}})
    absent = resolve_in(raw)
    assert absent.problem is not None
    assert (
        "got TrainingRun/gpt, which is not in namespace team; create it" in absent.problem.message
    )

    unfinished = resolve_in(raw, named("gpt", "a"))
    assert unfinished.problem is not None
    assert unfinished.problem.message == "spec.baseModel.run: waits for TrainingRun/gpt to succeed"
    waiting = decide(parse_run(raw), Observed(problem=unfinished.problem), at(1))
    assert condition_of(waiting.status, "Accepted").status == "Unknown"

    for ended, words in (
        ({"phase": "Failed", "reason": "UserError"}, "which has failed (UserError)"),
        ({"phase": "Succeeded"}, "which has succeeded without a model"),
    ):
        problem = resolve_in(raw, named("gpt", "a", status=ended)).problem
        assert problem is not None
        assert problem.reason == "WaitingForRun"
        assert f"spec.baseModel.run: got TrainingRun/gpt, {words}, expected" in problem.message

    status = {"phase": "Succeeded", "model": {"uri": "s3://runs/team/gpt/model/"}}
    finished = resolve_in(raw, named("gpt", "a", status=status))
    assert finished.problem is None
    assert finished.run is not None
    assert finished.run.model.weights is not None
    assert finished.run.model.weights.uri == "s3://runs/team/gpt/model/"
    assert finished.run.model.weights.credentials_secret == "s3"


def test_a_run_that_has_begun_needs_no_more_the_runs_that_it_started_from() -> None:
    raw = named("chat", "b", kind="FineTuneJob", baseModel={"run": {"name": "gpt"}})
    raw["spec"]["checkpoints"]["resumeFrom"] = {"run": {"name": "chat-0", "kind": "FineTuneJob"}}
    model = {"uri": "s3://runs/team/gpt/model/"}
    base = named("gpt", "a", status={"phase": "Succeeded", "model": model})
    other = named("chat-0", "c", kind="FineTuneJob", baseModel={"uri": "s3://m/"})
    world = World()
    for each in (raw, base, other):
        world.see_run(each)
    observer = Observer(world, SmallCluster(lambda *_: None))
    entry = RunEntry(raw=raw)
    first = asyncio.run(observer.observe("k", entry, parse_run(raw), None, at(1)))
    status = decide(parse_run(raw), first.observed, at(1)).status
    assert status.attempt == 1
    assert [(s.kind, s.name, s.model) for s in status.sources] == [
        ("FineTuneJob", "chat-0", None),
        ("TrainingRun", "gpt", model["uri"]),
    ]

    begun = raw | {"status": status.to_manifest()}
    for others in ([], [named("gpt", "d", status={"phase": "Failed"})]):
        later = resolve_in(begun, *others)
        assert later.problem is None
        assert later.run is not None
        assert first.run is not None
        assert later.run.model == first.run.model
        assert later.run.checkpoints == first.run.checkpoints


def test_the_store_of_another_run_is_opened_with_its_own_secret() -> None:
    start = {"run": {"name": "gpt"}}
    own = {"uri": "s3://mine/", "credentialsSecret": "mine", "endpoint": "http://minio:9000"}
    raw = named("next", "b", checkpoints={"store": own, "resumeFrom": start})
    run = resolve_in(raw, named("gpt", "a")).run
    assert run is not None
    assert run.checkpoints.resume_from is not None
    assert run.checkpoints.resume_from.uri == "s3://runs/team/gpt/"
    assert run.checkpoints.resume_from.endpoint is None
    assert find_secrets(run) == ["mine", "s3"]


def test_of_two_kinds_with_one_name_the_older_has_it() -> None:
    older = named("x", "a")
    younger = named("x", "b", kind="FineTuneJob", created=1, baseModel={"uri": "s3://m/"})
    assert resolve_in(older, younger).problem is None
    taken = resolve_in(younger, older).problem
    assert taken is not None
    assert (taken.reason, taken.is_final) == ("NameTaken", True)
    assert "TrainingRun/x" in taken.message

    begun = named("x", "c", created=2, status={"attempt": 1})
    assert resolve_in(begun, younger).problem is None
    late = resolve_in(younger, begun).problem
    assert late is not None
    assert late.reason == "NameTaken"


@pytest.mark.parametrize(
    ("workers", "is_refused"),
    [
        (GPUS | {"acceleratorMemoryGiB": 16}, True),
        (GPUS | {"acceleratorMemoryGiB": 24, "nodes": 8}, False),
        (GPUS, False),  # 80 GiB is our guess, not the user's word
        ({"nodes": 1, "accelerator": "None", "resources": {"memory": "16Gi"}}, True),
        ({"nodes": 1, "accelerator": "None"}, False),
    ],
)
def test_a_plan_is_refused_only_if_it_certainly_does_not_fit(
    workers: dict[str, Any], is_refused: bool
) -> None:
    raw = raw_run(model=MODEL, workers=workers)
    problem = resolve_in(raw).problem
    assert (problem is not None) == is_refused
    if problem is not None:
        assert problem.reason == "DoesNotFit"
        assert "optimizer" in problem.message


def test_a_plan_that_seems_too_large_is_a_warning() -> None:
    raw = raw_run(model=MODEL, workers=GPUS)
    resolution = resolve_in(raw)
    assert resolution.plan is not None
    assert resolution.plan.fits is False
    decision = decide(parse_run(raw), Observed(plan=resolution.plan), at(1))
    accepted = condition_of(decision.status, "Accepted")
    assert (accepted.status, accepted.reason) == ("True", "MayNotFit")
    assert decision.status.plan == resolution.plan
    assert decision.start_attempt == 1
    assert "MayNotFit" in [n.reason for n in decision.notices]
