"""The merged weights are the adapter's, whatever kind of adapter it is, and the base's files come through unharmed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.helpers import rescale_adapter_scale
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from configs.errors import ConfigError, TuneserveError
from configs.run.adapter_scale import write_scaled
from tests.trainer.tiny_models import IDS, make_model
from trainer.export import safetensors as merge_shards
from trainer.export.merge import merge_adapter
from trainer.export.new_folder import MARK, Export
from trainer.export.side_files import with_older_rope_names

Make = Callable[..., Path]
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Tiny base models by architecture, dtype and tying, each made once."""
    made: dict[tuple[str, str, bool], Path] = {}

    def base(kind: str = "qwen3", dtype: str = "float32", tied: bool = False) -> Path:
        key = (kind, dtype, tied)
        if key not in made:
            made[key] = make_model(tmp_path_factory.mktemp(kind) / "base", kind, getattr(torch, dtype), tied)
        return made[key]

    return base


@pytest.fixture
def make_adapter(tmp_path: Path) -> Make:
    """Writes an adapter with random weights in every one of its tensors, as training would leave them."""

    def make(base: Path, name: str = "adapter", **config: Any) -> Path:
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        config = {"r": 4, "lora_alpha": 8, "target_modules": LINEAR, "task_type": "CAUSAL_LM", **config}
        tuned = get_peft_model(model, LoraConfig(**config))
        torch.manual_seed(1)
        with torch.no_grad():
            for parameter in tuned.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.05 * torch.randn_like(parameter))
        tuned.save_pretrained(tmp_path / name)
        return tmp_path / name

    return make


def logits(folder: Path, adapter: Path | None = None) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    if adapter:
        model = PeftModel.from_pretrained(model, adapter).eval()
    with torch.no_grad():
        return model(input_ids=IDS).logits


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "dora on rslora": {"use_dora": True, "use_rslora": True},
    "patterns": {"rank_pattern": {"layers.0.self_attn.q_proj": 2, "down_proj": 8}, "alpha_pattern": {"up_proj": 3}},
    "some layers": {"layers_to_transform": [1]},
    "regex": {"target_modules": r".*layers\.0\.mlp\.(up|down)_proj"},
    "embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "embedding dora": {"target_modules": ["embed_tokens"], "use_dora": True},
    "head": {"target_modules": ["q_proj", "lm_head"]},
    "modules_to_save": {"modules_to_save": ["lm_head", "embed_tokens"]},
    "norms saved": {"modules_to_save": ["input_layernorm"]},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_merged_model_answers_as_base_with_adapter(
    bases: Make, make_adapter: Make, tmp_path: Path, kind: str, tied: bool
) -> None:
    base = bases(tied=tied)
    adapter = make_adapter(base, **KINDS[kind])
    result = merge_adapter(adapter, Export(base, tmp_path / "merged"))
    wanted, got, plain = logits(base, adapter), logits(tmp_path / "merged"), logits(base)
    assert (wanted - plain).abs().max() > 1e-2, "the adapter changes nothing, so this test shows nothing"
    torch.testing.assert_close(got, wanted, atol=2e-5, rtol=1e-4)
    assert result.changed + result.copied >= len(load_file(base / "model.safetensors"))


@pytest.mark.parametrize("kind", ["plain", "rslora", "patterns", "embedding", "head"])
def test_a_scaled_merge_answers_as_base_with_the_scaled_adapter(
    bases: Make, make_adapter: Make, tmp_path: Path, kind: str
) -> None:
    base = bases()
    adapter = make_adapter(base, **KINDS[kind])
    merge_adapter(adapter, Export(base, tmp_path / "merged"), scale=0.7)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), adapter).eval()
    with torch.no_grad(), rescale_adapter_scale(model, 0.7):
        wanted = model(input_ids=IDS).logits
    assert (wanted - logits(base, adapter)).abs().max() > 1e-2, "the scale changes nothing, so this test shows nothing"
    torch.testing.assert_close(logits(tmp_path / "merged"), wanted, atol=2e-5, rtol=1e-4)
    # A scaled adapter's own folder, which a server takes, is the same model.
    shutil.copytree(adapter, tmp_path / "mine")
    (tmp_path / "scaled").symlink_to(tmp_path / "mine")
    scaled = write_scaled(adapter, tmp_path / "scaled", 0.7)
    assert not (tmp_path / "mine" / "adapter_model.safetensors").is_symlink()
    torch.testing.assert_close(logits(base, scaled), wanted, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ({"use_dora": True}, "a DoRA adapter divides by the length of the new weights"),
        ({"modules_to_save": ["lm_head"]}, "whole layers .modules_to_save. take the base's place"),
        ({"bias": "all", "target_modules": ["q_proj"]}, "trained biases take the base's place"),
    ],
)
def test_what_is_not_added_to_the_base_cannot_be_scaled(
    bases: Make, make_adapter: Make, tmp_path: Path, kind: dict[str, Any], why: str
) -> None:
    base = bases("qwen2")
    with pytest.raises(ConfigError, match=f"cannot count 0.7 times as much: {why}"):
        merge_adapter(make_adapter(base, **kind), Export(base, tmp_path / "merged"), scale=0.7)
    assert not (tmp_path / "merged").exists()
    shutil.copytree(base, tmp_path / "trained")
    with pytest.raises(ConfigError, match="cannot be scaled: all weights were trained"):
        merge_adapter(tmp_path / "trained", Export(base, tmp_path / "merged"), scale=0.7)


@pytest.mark.parametrize("config", [{"lora_bias": True}, {"bias": "all"}, {"bias": "lora_only", "lora_bias": True}])
def test_biases_are_merged(bases: Make, make_adapter: Make, tmp_path: Path, config: dict[str, Any]) -> None:
    base = bases("qwen2")
    adapter = make_adapter(base, target_modules=["q_proj", "v_proj"], **config)
    merge_adapter(adapter, Export(base, tmp_path / "merged"))
    torch.testing.assert_close(logits(tmp_path / "merged"), logits(base, adapter), atol=2e-5, rtol=1e-4)


def test_equals_peft_merge_to_the_last_bit_of_bf16(bases: Make, make_adapter: Make, tmp_path: Path) -> None:
    """PEFT merges the whole model in fp32; ours must be that, rounded once."""
    base = bases(dtype="bfloat16")
    adapter = make_adapter(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    peft = PeftModel.from_pretrained(model, adapter).merge_and_unload().state_dict()
    merge_adapter(adapter, Export(base, tmp_path / "merged"))
    merged = load_file(tmp_path / "merged/model.safetensors")
    assert {t.dtype for t in merged.values()} == {torch.bfloat16}
    for name, tensor in merged.items():
        assert torch.equal(tensor, peft[name].bfloat16()), name


def test_tied_model_whose_head_was_trained_becomes_untied(bases: Make, make_adapter: Make, tmp_path: Path) -> None:
    base = bases(tied=True)
    result = merge_adapter(make_adapter(base, modules_to_save=["lm_head"]), Export(base, tmp_path / "merged"))
    assert result.config_diff["tie_word_embeddings"] == [True, False]
    merged = load_file(tmp_path / "merged/model.safetensors")
    assert torch.equal(
        merged["model.embed_tokens.weight"], load_file(base / "model.safetensors")["model.embed_tokens.weight"]
    )
    assert not torch.equal(merged["model.embed_tokens.weight"], merged["lm_head.weight"])


def test_fully_trained_weights_take_the_bases_place(bases: Make, tmp_path: Path) -> None:
    base = bases(dtype="bfloat16")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    model.save_pretrained(tmp_path / "trained")
    merge_adapter(tmp_path / "trained", Export(base, tmp_path / "merged"))
    merged = load_file(tmp_path / "merged/model.safetensors")
    for name, tensor in model.state_dict().items():
        assert torch.equal(merged[name], tensor.bfloat16()), name


def test_shards_are_divided_and_indexed(bases: Make, make_adapter: Make, tmp_path: Path) -> None:
    base = bases()
    adapter = make_adapter(base)
    merge_adapter(adapter, Export(base, tmp_path / "merged", shard_gb=40_000 / 1e9))
    files = sorted((tmp_path / "merged").glob("model-*.safetensors"))
    index = json.loads((tmp_path / "merged/model.safetensors.index.json").read_text())
    assert len(files) > 2
    assert sorted(set(index["weight_map"].values())) == [f.name for f in files]
    assert index["metadata"]["total_size"] == sum(t.nbytes for f in files for t in load_file(f).values())
    for file in files:
        tensors = load_file(file)
        assert sum(t.nbytes for t in tensors.values()) <= 40_000 or len(tensors) == 1
    torch.testing.assert_close(logits(tmp_path / "merged"), logits(base, adapter), atol=2e-5, rtol=1e-4)
    again = merge_adapter(adapter, Export(tmp_path / "merged", tmp_path / "twice"))  # a sharded base keeps its division
    assert sorted(f.name for f in again.folder.glob("model-*")) == [f.name for f in files]


def test_files_of_the_base_come_through_byte_for_byte(bases: Make, make_adapter: Make, tmp_path: Path) -> None:
    base = bases("qwen2")
    merge_adapter(make_adapter(base), Export(base, tmp_path / "merged"))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "LICENSE"):
        assert (tmp_path / "merged" / name).read_bytes() == (base / name).read_bytes(), name
    assert not (tmp_path / "merged/README.md").exists(), "the base's model card is not this model's"
    assert not (tmp_path / "merged" / MARK).exists()


@pytest.mark.parametrize(
    "scaling", [None, {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}]
)
def test_rotary_settings_stand_under_their_older_names_too(
    scaling: dict | None, bases: Make, make_adapter: Make, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(bases(), base)
    adapter = make_adapter(base)
    config = json.loads((base / "config.json").read_text())
    rope = {"rope_theta": 1_000_000.0, **(scaling or {"rope_type": "default"})}
    (base / "config.json").write_text(json.dumps({**config, "rope_parameters": rope}))
    result = merge_adapter(adapter, Export(base, tmp_path / "merged"))
    written = json.loads((tmp_path / "merged/config.json").read_text())
    older = {"rope_theta": 1_000_000.0} | ({"rope_scaling": scaling} if scaling else {})
    assert written == {**config, "rope_parameters": rope, **older}
    assert result.config_diff == {key: [None, value] for key, value in older.items()}
    read = AutoConfig.from_pretrained(tmp_path / "merged")
    assert {key: read.rope_parameters[key] for key in rope} == rope
    again = merge_adapter(adapter, Export(tmp_path / "merged", tmp_path / "twice"))
    assert again.config_diff == {}


@pytest.mark.parametrize(
    ("kind", "rope", "older"),
    [
        ("gemma3_text",
         {"full_attention": {"rope_theta": 1e6, "rope_type": "linear", "factor": 8.0},
          "sliding_attention": {"rope_theta": 1e4, "rope_type": "default"}},
         {"rope_theta": 1e6, "rope_local_base_freq": 1e4, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}),
        ("phi3", {"rope_theta": 1e4, "rope_type": "default", "partial_rotary_factor": 0.75},
         {"rope_theta": 1e4, "partial_rotary_factor": 0.75}),
        ("phi3",
         {"rope_theta": 1e4, "rope_type": "longrope", "type": "longrope", "short_factor": [1.0] * 48,
          "long_factor": [2.0] * 48, "original_max_position_embeddings": 4096, "partial_rotary_factor": 1.0},
         {"rope_theta": 1e4, "partial_rotary_factor": 1.0, "original_max_position_embeddings": 4096,
          "rope_scaling": {"type": "longrope", "short_factor": [1.0] * 48, "long_factor": [2.0] * 48}}),
        ("gpt_neox", {"rope_theta": 2e4, "rope_type": "default", "partial_rotary_factor": 0.5},
         {"rotary_emb_base": 2e4, "rotary_pct": 0.5}),
        ("gemma4_text", {"full_attention": {"rope_theta": 1e6, "rope_type": "proportional"}}, {}),
    ],
)  # fmt: skip
def test_rotary_settings_of_each_kind_of_layer_have_older_names_where_there_were_any(
    kind: str, rope: dict, older: dict, tmp_path: Path
) -> None:
    config = {"model_type": kind, "rope_parameters": rope}
    written = with_older_rope_names(config)
    assert written == {**config, **older}
    for folder, content in (("before", config), ("after", written)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.json").write_text(json.dumps(content))
    before, after = (AutoConfig.from_pretrained(tmp_path / name).rope_parameters for name in ("before", "after"))
    assert before == after


def test_generation_stops_at_the_trained_token(bases: Make, make_adapter: Make, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(bases(), base)
    adapter = make_adapter(base)
    before = {"bos_token_id": 0, "do_sample": False, "eos_token_id": 0, "max_new_tokens": 2048}
    (base / "generation_config.json").write_text(json.dumps(before))
    result = merge_adapter(adapter, Export(base, tmp_path / "a", end_token_id=2))
    after = json.loads((tmp_path / "a/generation_config.json").read_text())
    assert after == {"bos_token_id": 0, "do_sample": False, "eos_token_id": [0, 2]}
    assert result.generation_config_diff == {"eos_token_id": [0, [0, 2]], "max_new_tokens": [2048, None]}

    text = '{"eos_token_id": [2, 0],\n\n "top_k": 20}'
    (base / "generation_config.json").write_text(text)
    assert merge_adapter(adapter, Export(base, tmp_path / "b", end_token_id=2)).generation_config_diff == {}
    assert (tmp_path / "b/generation_config.json").read_text() == text

    (base / "generation_config.json").unlink()
    merge_adapter(adapter, Export(base, tmp_path / "c", end_token_id=2))
    ends = json.loads((tmp_path / "c/generation_config.json").read_text())["eos_token_id"]
    assert 2 in (ends if isinstance(ends, list) else [ends])


def refused(base: Path, adapter: Path, out: Path, **options: Any) -> str:
    """The message of a merge that must be refused, after which nothing may have been written."""
    with pytest.raises(TuneserveError) as error:
        merge_adapter(adapter, Export(base, out, **options))
    assert not out.exists() or not any(out.glob("*.safetensors"))
    assert not out.with_name(out.name + ".partial").exists()
    assert error.value.next_step
    return str(error.value)


def edit_adapter(adapter: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(adapter / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, adapter / "adapter_model.safetensors")


Q0 = "base_model.model.model.layers.0.self_attn.q_proj.lora_"


def test_adapter_of_another_base_is_refused_with_layer_and_shapes(
    bases: Make, make_adapter: Make, tmp_path: Path
) -> None:
    other = make_model(tmp_path / "other", "qwen3", torch.float32, False, hidden_size=64)
    message = refused(bases(), make_adapter(other), tmp_path / "merged")
    assert "layers.0" in message
    assert "64" in message
    assert "32" in message


def test_every_adapter_tensor_must_be_used(bases: Make, make_adapter: Make, tmp_path: Path) -> None:
    base, adapter = bases(), make_adapter(bases())
    edit_adapter(
        adapter, lambda t: t.update({"base_model.model.model.layers.9.mlp.up_proj.lora_A.weight": torch.ones(4, 32)})
    )
    assert "model.layers.9.mlp.up_proj.lora_A" in refused(base, adapter, tmp_path / "merged")
    edit_adapter(adapter, lambda t: t.pop("base_model.model.model.layers.9.mlp.up_proj.lora_A.weight"))
    edit_adapter(adapter, lambda t: t.update({"base_model.model.score.weight": torch.ones(2, 32)}))
    assert "score.weight" in refused(base, adapter, tmp_path / "merged")


def test_skipped_layer_is_refused(bases: Make, make_adapter: Make, tmp_path: Path) -> None:
    adapter = make_adapter(bases())
    edit_adapter(adapter, lambda t: (t.pop(Q0 + "A.weight"), t.pop(Q0 + "B.weight")))  # type: ignore[func-returns-value]
    assert "targets layer model.layers.0.self_attn.q_proj" in refused(bases(), adapter, tmp_path / "merged")


def test_half_a_pair_is_refused(bases: Make, make_adapter: Make, tmp_path: Path) -> None:
    adapter = make_adapter(bases())
    edit_adapter(adapter, lambda t: t.pop(Q0 + "B.weight"))
    assert "misses lora_B" in refused(bases(), adapter, tmp_path / "merged")


def test_config_of_another_rank_is_refused(bases: Make, make_adapter: Make, tmp_path: Path) -> None:
    adapter = make_adapter(bases())
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "r": 8}))
    assert "has rank 4, but adapter_config.json says 8" in refused(bases(), adapter, tmp_path / "merged")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"peft_type": "LOHA"}, "LOHA"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
    ],
)
def test_adapters_that_are_not_plain_lora_are_refused(
    bases: Make, make_adapter: Make, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    adapter = make_adapter(bases())
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, **change}))
    assert said in refused(bases(), adapter, tmp_path / "merged")


def test_missing_files_are_named(bases: Make, make_adapter: Make, tmp_path: Path) -> None:
    adapter = make_adapter(bases())
    assert "no config.json" in refused(tmp_path / "nothing", adapter, tmp_path / "merged")
    assert "no such folder" in refused(bases(), tmp_path / "nothing", tmp_path / "merged")
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    assert "adapter_model.bin is there" in refused(bases(), adapter, tmp_path / "merged")
    (adapter / "adapter_config.json").unlink()
    assert "adapter_config.json is missing" in refused(bases(), adapter, tmp_path / "merged")


@pytest.mark.parametrize("method", ["gptq", "bitsandbytes", "fp8"])
def test_quantized_base_is_refused_by_name(bases: Make, make_adapter: Make, tmp_path: Path, method: str) -> None:
    base = tmp_path / "quantized"
    shutil.copytree(bases(), base)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": method}}))
    message = refused(base, make_adapter(bases()), tmp_path / "merged")
    assert f"quantized ({method})" in message
    assert "16-bit original" in message


def test_damaged_base_file_is_named(bases: Make, make_adapter: Make, tmp_path: Path) -> None:
    base = tmp_path / "damaged"
    shutil.copytree(bases(), base)
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    assert "damaged safetensors file" in refused(base, make_adapter(bases()), tmp_path / "merged")


def test_diverged_adapter_is_refused(bases: Make, make_adapter: Make, tmp_path: Path) -> None:
    adapter = make_adapter(bases())
    edit_adapter(adapter, lambda t: t[Q0 + "A.weight"].fill_(float("nan")))  # type: ignore[arg-type, return-value]
    assert "layers.0.self_attn.q_proj.weight: the merged weights hold NaN" in refused(
        bases(), adapter, tmp_path / "merged"
    )


def test_never_into_a_folder_with_files(bases: Make, make_adapter: Make, tmp_path: Path) -> None:
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged/thesis.txt").write_text("mine")
    assert "is not empty" in refused(bases(), make_adapter(bases()), tmp_path / "merged")
    assert (tmp_path / "merged/thesis.txt").read_text() == "mine"


def test_too_little_space_is_said_in_numbers_before_writing(
    bases: Make, make_adapter: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    message = refused(bases(), make_adapter(bases()), tmp_path / "merged")
    assert "MB free" in message


def test_disk_that_fills_up_leaves_nothing(
    bases: Make, make_adapter: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = merge_shards.ShardWriter.write

    def fill_up(self: merge_shards.ShardWriter, name: str, tensor: torch.Tensor) -> None:
        if "layers.1" in name:
            raise OSError(28, "No space left on device")
        written(self, name, tensor)

    monkeypatch.setattr(merge_shards.ShardWriter, "write", fill_up)
    assert "the disk filled up" in refused(bases(), make_adapter(bases()), tmp_path / "merged")


def test_what_a_kill_left_is_cleared_and_a_stranger_is_not(bases: Make, make_adapter: Make, tmp_path: Path) -> None:
    adapter, partial = make_adapter(bases()), tmp_path / "merged.partial"
    partial.mkdir()
    (partial / "model-00001.safetensors").write_bytes(b"half")
    with pytest.raises(ConfigError, match="not unfinished work"):
        merge_adapter(adapter, Export(bases(), tmp_path / "merged"))
    (partial / MARK).touch()
    merge_adapter(adapter, Export(bases(), tmp_path / "merged"))
    assert not partial.exists()


def test_redoing_replaces_the_old_result_only_when_the_new_one_is_complete(
    bases: Make, make_adapter: Make, tmp_path: Path
) -> None:
    adapter, out = make_adapter(bases()), tmp_path / "merged"
    merge_adapter(adapter, Export(bases(), out))
    first = (out / "model.safetensors").read_bytes()
    edit_adapter(adapter, lambda t: t[Q0 + "A.weight"].fill_(float("nan")))  # type: ignore[arg-type, return-value]
    with pytest.raises(TuneserveError):
        merge_adapter(adapter, Export(bases(), out, redo=True))
    assert (out / "model.safetensors").read_bytes() == first
    edit_adapter(adapter, lambda t: t[Q0 + "A.weight"].fill_(0.5))  # type: ignore[arg-type, return-value]
    merge_adapter(adapter, Export(bases(), out, redo=True))
    assert (out / "model.safetensors").read_bytes() != first
    assert sorted(p.name for p in tmp_path.iterdir()) == ["adapter", "merged"]


def test_a_private_file_that_a_model_links_to_is_not_handed_on(bases: Make, make_adapter: Make, tmp_path: Path) -> None:
    base = Path(shutil.copytree(bases(), tmp_path / "base"))
    adapter, out = make_adapter(base), tmp_path / "merged"
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "id_rsa").write_text("secret")
    for name, target in (("NOTICE", "home/id_rsa"), ("id_rsa", "home/id_rsa"), ("additional_chat_templates", "home")):
        (base / name).symlink_to(tmp_path / target)
        with pytest.raises(ConfigError, match="leads out of the model"):
            merge_adapter(adapter, Export(base, out))
        (base / name).unlink()
        assert not out.exists()
    (tmp_path / "blobs").mkdir()  # as in the cache of a hub, or a copy of a model as links to it
    (tmp_path / "blobs" / "ffff").write_text("Apache")
    (base / "NOTICE").symlink_to("../blobs/ffff")
    merge_adapter(adapter, Export(base, out))
    assert (out / "NOTICE").read_text() == "Apache"
