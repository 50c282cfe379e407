"""Checkpoints of other versions of the trainer: read, or refused; never trained anew and deleted."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from trainwright_api.status import MemoryTerm, Plan
from trainwright_trainer.errors import UserError
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import Store

from tests.trainer.checkpoint_harness import (
    FACTS,
    Place,
    folder_of,
    is_whole,
    open_manager,
    place,
    resumed,
    shard_writer,
    state_of,
)
from tests.trainer.s3_server import s3_server, settings

__all__ = ["place", "s3_server", "settings"]

MANIFEST = "step-000001/manifest.json"
PLAN = Plan(
    zero_stage=2,
    micro_sequences=1,
    accumulation_steps=1,
    activation_checkpointing="None",
    num_devices=1,
    parameters=1,
    trainable_parameters=1,
    memory=[MemoryTerm(name="parameters", gib=1.0, reason="")],
    memory_gib=1.0,
    flops_per_token=1.0,
)


def save_by_another_version(
    place: Place, settings: Settings, change: Callable[[dict[str, Any]], None]
) -> Store:
    """Save step 1 and write its manifest as another trainer would have."""
    manager = open_manager(place.run(), settings)
    manager.find_resume()
    facts = replace(FACTS, plan=PLAN)
    manager.save(replace(state_of(1), facts=facts), shard_writer(1))
    manager.wait(60)
    store = place.store(settings)
    manifest = json.loads(store.read_bytes(MANIFEST))
    change(manifest)
    store.write_bytes(MANIFEST, json.dumps(manifest).encode())
    return store


def test_a_manifest_that_says_more_is_read_and_its_checkpoint_used(
    place: Place, settings: Settings
) -> None:
    def say_more(manifest: dict[str, Any]) -> None:
        plan = manifest["plan"]
        for part in (manifest, plan, plan["memory"][0], manifest["files"][0]):
            part["fieldOfTheFuture"] = {"a": 1}

    save_by_another_version(place, settings, say_more)
    manager = open_manager(place.run(), settings)
    fetched = resumed(manager)
    assert fetched is not None
    assert (fetched.point.manifest.plan, is_whole(fetched)) == (PLAN, True)
    assert manager.warnings == []


def renew(manifest: dict[str, Any]) -> None:
    """Make the manifest one of a format in which hardly a field is left."""
    manifest.clear()
    manifest.update(format=2, shards=[])


def test_a_newer_format_ends_the_start_and_nothing_is_deleted(
    place: Place, settings: Settings
) -> None:
    store = save_by_another_version(place, settings, renew)
    before = store.list_files()
    with pytest.raises(UserError) as refused:
        open_manager(place.run(), settings).find_resume()
    assert str(refused.value) == (
        f"spec.checkpoints.store.uri: got a checkpoint at {place.location.uri}step-000001/ whose manifest is of "
        "format 2, expected format 1, the newest that this trainer knows; use the trainer's image that wrote it, or "
        "a newer one"
    )
    assert store.list_files() == before


def test_a_newer_format_of_another_run_is_refused_too(place: Place, settings: Settings) -> None:
    save_by_another_version(place, settings, renew)
    own = Place(folder_of(place.location.uri.replace("/run/", "/own/"), place.location), place.disk)
    run = own.run(resume_from=place.location)
    with pytest.raises(UserError, match=r"resumeFrom\.uri: got a checkpoint at .* of format 2"):
        open_manager(run, settings).find_resume()
