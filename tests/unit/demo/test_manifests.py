import pytest

from demo.manifests import (
    EXAMPLES,
    read_example,
    with_bucket,
    with_fields,
    with_steps,
)


def test_fields_are_merged_and_the_original_stays() -> None:
    manifest = {"spec": {"workers": {"nodes": 2, "accelerator": "None"}, "seed": 1, "gone": 1}}
    changed = with_fields(manifest, {"workers": {"nodes": 1}, "seed": 2, "gone": None})
    assert changed == {"spec": {"workers": {"nodes": 1, "accelerator": "None"}, "seed": 2}}
    assert manifest["spec"]["seed"] == 1


def test_one_bucket_takes_all_addresses() -> None:
    manifest = {"spec": {"a": "s3://datasets/x/", "b": ["s3://models/y"], "c": "hf://o/n"}}
    assert with_bucket(manifest, "mine") == {
        "spec": {"a": "s3://mine/datasets/x/", "b": ["s3://mine/models/y"], "c": "hf://o/n"}
    }
    assert with_bucket(manifest, "") == manifest


def test_fewer_steps_still_save_on_the_way() -> None:
    spec = with_steps(read_example("stdlib-gpt"), 12)["spec"]
    assert spec["budget"] == {"steps": 12}
    assert spec["checkpoints"]["everySteps"] == 4
    assert with_steps(read_example("stdlib-gpt"), None) == read_example("stdlib-gpt")


@pytest.mark.parametrize("num_steps", [6, 12])
def test_steps_beyond_the_budget_change_nothing(num_steps: int) -> None:
    chat = read_example("smollm2-chat")  # 6k tokens, 1,024 a step
    assert with_steps(chat, num_steps) == chat
    assert with_steps(chat, 5)["spec"]["budget"] == {"steps": 5}


def test_gpu_examples_ask_for_64_devices_in_zero_3() -> None:
    for file in sorted(EXAMPLES.glob("*-gpu.yaml")):
        spec = read_example(file.stem)["spec"]
        workers = spec["workers"]
        assert workers["nodes"] * workers["acceleratorsPerNode"] == 64
        assert (spec["parallelism"]["zeroStage"], spec["precision"]) == (3, "BF16")
