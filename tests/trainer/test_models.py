"""Models, adapters and losses in one process: what the objectives compute, and what export keeps."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from trainwright_api.data import Location
from trainwright_api.report import Manifest
from trainwright_api.resources import Adapter, AdapterType
from trainwright_api.run import Run, RunModel, RunTokenizer
from trainwright_trainer.data.batch import IGNORED_LABEL, Batch
from trainwright_trainer.data.tokenizers import train_tokenizer
from trainwright_trainer.errors import UserError
from trainwright_trainer.export import (
    export_model,
    merge_adapter,
    name_of_base,
    rebuild_model,
    upload_folder,
)
from trainwright_trainer.groups import SingleGroup
from trainwright_trainer.models import (
    build_model,
    load_config,
    measure_model,
    measure_run,
    new_model,
)
from trainwright_trainer.objectives.base import DeviceBatch
from trainwright_trainer.objectives.causal_lm import token_loss_sum
from trainwright_trainer.preflight import prepare_run
from trainwright_trainer.report import Reporter
from trainwright_trainer.saving import TrainingState
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import open_store
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedTokenizerFast,
)

from tests.trainer.tiny_runs import TINY, tiny_run

CHAT_TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}"
ARCHITECTURES = {
    "llama": TINY,
    "qwen3": TINY | {"head_dim": 16, "num_key_value_heads": 2},
    "gpt2": {
        "n_embd": 64,
        "n_layer": 2,
        "n_head": 4,
        "resid_pdrop": 0,
        "embd_pdrop": 0,
        "attn_pdrop": 0,
    },
    "gpt_neox": TINY | {"hidden_dropout": 0.0},
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    folder = tmp_path_factory.mktemp("tokenizer")
    return train_tokenizer(tiny_run(folder), Settings(scratch_folder=folder))


def make_batch(*documents: list[int], length: int) -> Batch:
    """One sequence that holds the documents one after another, then padding."""
    arrays = {
        name: np.zeros((1, length), dtype=np.int64) for name in ("ids", "positions", "segments")
    }
    labels = np.full((1, length), IGNORED_LABEL, dtype=np.int64)
    at = 0
    for number, document in enumerate(documents, 1):
        end = at + len(document)
        arrays["ids"][0, at:end] = document
        arrays["positions"][0, at:end] = range(len(document))
        arrays["segments"][0, at:end] = number
        labels[0, at + 1 : end] = document[1:]
        at = end
    return Batch(arrays["ids"], labels, arrays["positions"], arrays["segments"])


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_packed_loss_is_the_sum_of_the_documents_alone(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, architecture: str, attention: str
) -> None:
    config_fields = ARCHITECTURES[architecture] | {"attn_implementation": attention}
    run = tiny_run(tmp_path, model=RunModel(architecture=architecture, config=config_fields))
    model = build_model(run, load_config(run, None, tokenizer), None, SingleGroup()).eval()
    documents = [list(range(5, 17)), list(range(40, 47)), list(range(100, 120))]
    cpu = torch.device("cpu")
    packed = token_loss_sum(model, DeviceBatch.of(make_batch(*documents, length=48), cpu))
    alone = sum(
        token_loss_sum(model, DeviceBatch.of(make_batch(d, length=len(d)), cpu)) for d in documents
    )
    assert float(packed) == pytest.approx(float(alone), rel=1e-5)


def test_facts_are_counted_on_the_model(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    run = tiny_run(tmp_path, adapter=Adapter(type=AdapterType.LORA, rank=4))
    config = load_config(run, None, tokenizer)
    facts = measure_model(run, build_model(run, config, None, SingleGroup()), config)
    assert facts == measure_run(run, config)
    assert facts.num_layers == 2
    assert facts.trainable_parameters == 2 * 4 * (4 * (64 + 64) + 3 * (64 + 128))


def based_on(
    folder: Path, tokenizer: PreTrainedTokenizerFast, architecture: str = "llama", **changes: Any
) -> tuple[Run, PretrainedConfig]:
    """A run over saved weights of an architecture, and the config of these."""
    fields = ARCHITECTURES[architecture]
    fresh = tiny_run(folder, model=RunModel(architecture=architecture, config=fields))
    config = load_config(fresh, None, tokenizer)
    new_model(config).save_pretrained(folder)
    return tiny_run(
        folder, model=RunModel(weights=Location(uri=f"file://{folder}/")), **changes
    ), config


@pytest.mark.parametrize("adapter", AdapterType)
def test_a_base_model_trains_in_training_mode(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, adapter: AdapterType
) -> None:
    run, config = based_on(tmp_path, tokenizer, adapter=Adapter(type=adapter, dropout=0.5))
    model = build_model(run, config, tmp_path, SingleGroup())
    assert [name for name, module in model.named_modules() if not module.training] == []


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_base_weights_without_a_tied_head_are_whole(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, architecture: str
) -> None:
    run, config = based_on(tmp_path, tokenizer, architecture)
    model = build_model(run, config, tmp_path, SingleGroup())
    saved, state = load_file(tmp_path / "model.safetensors"), model.state_dict()
    shared = saved.keys() & state.keys()
    assert len(shared) > 20
    assert all(torch.equal(state[name], saved[name]) for name in shared)


def test_base_weights_that_lack_a_tensor_are_refused(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    run, config = based_on(tmp_path, tokenizer)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(
        UserError, match=r"without model\.layers\.1\.mlp\.up_proj\.weight, expected"
    ):
        build_model(run, config, tmp_path, SingleGroup())


def test_too_little_memory_for_base_weights_is_not_blamed_on_them(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, config = based_on(tmp_path, tokenizer)

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", fail)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        build_model(run, config, tmp_path, SingleGroup())


@pytest.mark.parametrize(
    ("quantization", "name"),
    [
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        ({"bits": 4}, "unknown"),
    ],
)
def test_quantized_base_weights_are_refused_before_they_are_fetched(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, quantization: object, name: str
) -> None:
    run, _ = based_on(tmp_path, tokenizer)
    written = json.loads((tmp_path / "config.json").read_text())
    written["quantization_config"] = quantization
    (tmp_path / "config.json").write_text(json.dumps(written))
    with pytest.raises(
        UserError,
        match=rf"spec\.model\.weights\.uri: got file://.* with quantized .*json: {name}\), expected .*; "
        "name the model that they were quantized from, or a copy of this one in BF16",
    ):
        load_config(run, tmp_path, tokenizer)


def test_weights_that_need_a_library_that_is_not_there_are_the_users_to_mend(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, config = based_on(tmp_path, tokenizer)

    def fail(*_: Any, **__: Any) -> None:
        raise ImportError("Loading this model requires optimum")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", fail)
    with pytest.raises(
        UserError,
        match=r"spec\.model\.weights\.uri: got file://.*, which needs a Python package .* "
        r"\(Loading this model requires optimum\), expected .*; add the package to an image",
    ):
        build_model(run, config, tmp_path, SingleGroup())


def test_a_setting_that_needs_a_library_that_is_not_there_says_which(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    fields = TINY | {"attn_implementation": "flash_attention_2"}
    run = tiny_run(tmp_path, model=RunModel(architecture="llama", config=fields))
    with pytest.raises(
        UserError,
        match=r"spec\.model: got llama with .*needs a Python package .*the package for FlashAttention2",
    ):
        measure_run(run, load_config(run, None, tokenizer))


def test_an_earlier_models_files_do_not_stay_beside_the_new_ones(tmp_path: Path) -> None:
    store = open_store(Location(uri=f"file://{tmp_path}/out/"), Settings(), field="spec.output")
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(name)
        (tmp_path / name / f"{name}.safetensors").write_text(name)
    files = upload_folder(tmp_path / "first", store)
    manifest = Manifest.model_construct(
        **dict.fromkeys(("run", "namespace", "uid", "precision", "saved_at"), "x"),
        **dict.fromkeys(("attempt", "step", "samples", "tokens", "world_size", "zero_stage"), 1),
        epoch=1.0,
        files=files,
    )
    store.write_bytes("manifest.json", manifest.model_dump_json(by_alias=True).encode())
    store.write_bytes("README.md", b"of the user")
    upload_folder(tmp_path / "second", store)
    names = {file.path for file in store.list_files()}
    assert names == {"config.json", "second.safetensors", "README.md"}


@pytest.mark.parametrize(
    ("with_location", "field"),
    [(False, "spec.model.weights.uri"), (True, "spec.tokenizer.location.uri")],
)
def test_a_tokenizer_with_more_entries_than_the_embedding_of_base_weights_is_refused(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, with_location: bool, field: str
) -> None:
    run, _ = based_on(tmp_path, tokenizer)
    if with_location:
        location = RunTokenizer(location=Location(uri="s3://tokenizers/larger/"))
        run = run.model_copy(update={"tokenizer": location})
    larger = copy.deepcopy(tokenizer)
    larger.add_tokens(["<one>", "<more>"])
    with pytest.raises(UserError) as refused:
        load_config(run, tmp_path, larger)
    assert refused.value.message == (
        f"{field}: got a tokenizer with {len(tokenizer) + 2} entries for an embedding of {len(tokenizer)}, "
        "expected no more entries than the embedding has; use the tokenizer of these weights"
    )


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("hf://organization/name", ("organization/name", None)),
        ("hf://organization/name@v1.0/", ("organization/name", "v1.0")),
        ("hf://organization/name@v1.0/small/", ("hf://organization/name@v1.0/small", None)),
        ("s3://models/name/", ("s3://models/name", None)),
        (None, ("", None)),
    ],
)
def test_an_adapter_names_its_base_model_as_peft_looks_it_up(
    tmp_path: Path, uri: str | None, expected: tuple[str, str | None]
) -> None:
    weights = Location(uri=uri) if uri else None
    assert name_of_base(tiny_run(tmp_path, model=RunModel(weights=weights))) == expected


def test_an_adapter_tells_the_revision_of_its_base_model(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    run = tiny_run(tmp_path, adapter=Adapter(type=AdapterType.LORA, rank=4))
    config = load_config(run, None, tokenizer)
    weights = build_model(run, config, None, SingleGroup()).state_dict()
    base = RunModel(weights=Location(uri="hf://organization/name@v1.0"))
    rebuilt: Any = rebuild_model(run.model_copy(update={"model": base}), config, weights)
    told = rebuilt.peft_config["default"]
    assert (told.base_model_name_or_path, told.revision) == ("organization/name", "v1.0")


def test_adapter_is_exported_beside_and_merged_into_the_base_model(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, adapter=Adapter(type=AdapterType.LORA, rank=4))
    changes = {
        "output": run.output.model_copy(update={"merge": True}),
        "data": run.data.model_copy(update={"chat_template": CHAT_TEMPLATE}),
    }
    run = run.model_copy(update=changes)
    settings = Settings(scratch_folder=tmp_path / "scratch")
    prepared = prepare_run(run, settings, SingleGroup(), Reporter(run, settings))
    config, tokenizer = prepared.config, prepared.tokenizer
    model = build_model(run, config, None, SingleGroup())
    torch.manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.05)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    status = export_model(prepared, weights, TrainingState(step=3), samples_before=["before"])

    ids = torch.arange(20).unsqueeze(0)
    expected = rebuild_model(run, config, weights)(ids).logits
    folder = tmp_path / "store" / "model"
    merged = AutoModelForCausalLM.from_pretrained(folder)(ids).logits
    assert torch.allclose(merged, expected, atol=1e-4)
    assert status.adapter_uri == f"file://{tmp_path}/store/model/adapter/"

    plain = build_model(tiny_run(tmp_path), config, None, SingleGroup())
    base = plain(ids).logits
    assert not torch.allclose(base, expected, atol=1e-2)
    adapted = PeftModel.from_pretrained(plain, folder / "adapter")(ids).logits
    assert torch.allclose(adapted, expected, atol=1e-4)
    finished = AutoTokenizer.from_pretrained(folder)
    assert (finished.eos_token, finished.chat_template) == (tokenizer.eos_token, CHAT_TEMPLATE)
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_text())
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {file.path for file in manifest.files} == written - {"manifest.json"}
    assert sum(file.size_bytes for file in manifest.files) == status.size_bytes


def test_a_merge_that_changes_the_model_is_refused(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainwright_trainer.errors import TrainerError

    run = tiny_run(tmp_path, adapter=Adapter(type=AdapterType.LORA, rank=4))
    config = load_config(run, None, tokenizer)
    model = build_model(run, config, None, SingleGroup()).eval()
    other = build_model(tiny_run(tmp_path, seed=7), config, None, SingleGroup()).eval()
    monkeypatch.setattr(model, "merge_and_unload", lambda: other)
    with pytest.raises(TrainerError, match=r"set output\.merge to false"):
        merge_adapter(model)
