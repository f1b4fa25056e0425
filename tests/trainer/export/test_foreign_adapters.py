"""Adapters that others trained: what is merged as they meant it, and what is refused with its own reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from configs.errors import ConfigError, TuneserveError
from configs.model import chat_template
from configs.model.adapter_weights import refuse_unservable
from tests.trainer.tiny_models import IDS, TEMPLATE, make_model
from trainer.export import targets
from trainer.export.adapter import AnyMerge, merge_any

Tensors = dict[str, torch.Tensor]
PATH = "base_model.model.model.layers.0.self_attn.q_proj."
Q0 = PATH + "lora_"
W0 = "model.layers.0.self_attn.q_proj.weight"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("foreign") / "base", "qwen3", torch.bfloat16, True)


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A folder with an adapter of some configuration and random weights, trained once."""
    made: dict[str, Path] = {}

    def make(**config: Any) -> Path:
        key = json.dumps(config, sort_keys=True)
        if key not in made:
            settings = {"r": 4, "target_modules": ["q_proj", "down_proj"], "init_lora_weights": False, **config}
            model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
            torch.manual_seed(3)
            tuned = get_peft_model(model, LoraConfig(**settings))
            with torch.no_grad():
                for parameter in tuned.parameters():
                    if parameter.requires_grad:
                        parameter.add_(0.05 * torch.randn_like(parameter))
            made[key] = tmp_path_factory.mktemp("foreign") / "adapter"
            tuned.save_pretrained(made[key])
        return made[key]

    return make


@pytest.fixture
def adapter(trained: Callable[..., Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained(), tmp_path / "adapter"))


def edit(adapter: Path, change: Callable[[Tensors], Tensors | None]) -> None:
    tensors = load_file(adapter / "adapter_model.safetensors")
    changed = change(tensors)
    save_file(tensors if changed is None else changed, adapter / "adapter_model.safetensors")


def configure(adapter: Path, **keys: Any) -> None:
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **keys}))


def logits(folder: Path, adapter: Path | None = None) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, adapter) if adapter else model
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


def refused(adapter: Path, base: Path | None = None) -> str:
    """What is said of an adapter that must not be merged; nothing may have been written."""
    out = adapter.parent / "out"
    with pytest.raises(TuneserveError) as error:
        merge_any(adapter, out, base=base and str(base))
    assert not out.exists()
    assert not out.with_name("out.partial").exists()
    assert error.value.next_step
    return str(error.value)


def renamed(rename: Callable[[str], str]) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {rename(key): tensor for key, tensor in tensors.items()}


RENAMES: dict[str, Callable[[str], str]] = {
    "adapter's name": lambda key: key.replace(".weight", ".default.weight"),
    "another adapter's name": lambda key: key.replace(".weight", ".sft_v2.weight"),
    "no prefix": lambda key: key.removeprefix("base_model.model."),
    "prefix twice": lambda key: "base_model.model." + key,
    "model once more": lambda key: key.replace("base_model.model.model.", "base_model.model.model.model."),
    "inner model": lambda key: key.replace("base_model.model.model.", "base_model.model."),
    "data parallel": lambda key: "module." + key,
    "compiled": lambda key: key.replace("base_model.model.", "base_model.model._orig_mod."),
    "sharded": lambda key: key.replace(".self_attn.", "._fsdp_wrapped_module.self_attn."),
}


@pytest.mark.parametrize("kind", RENAMES)
def test_keys_as_other_savers_write_them_are_merged(
    base: Path, adapter: Path, trained: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    edit(adapter, renamed(RENAMES[kind]))
    merge_any(adapter, tmp_path / "out")
    merge_any(trained(), tmp_path / "wanted")
    found, wanted = (load_file(tmp_path / name / "model.safetensors") for name in ("out", "wanted"))
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_raw_state_dicts_of_whole_modules_are_merged(base: Path, trained: Callable[..., Path], tmp_path: Path) -> None:
    whole = trained(modules_to_save=["lm_head"])
    adapter = Path(shutil.copytree(whole, tmp_path / "adapter"))
    original = load_file(base / "model.safetensors")["model.embed_tokens.weight"].float()

    def raw(tensors: Tensors) -> Tensors:
        head = tensors.pop("base_model.model.lm_head.weight")
        tensors["base_model.model.lm_head.modules_to_save.default.weight"] = head
        tensors["base_model.model.lm_head.original_module.weight"] = original
        return tensors

    edit(adapter, raw)
    merge_any(adapter, tmp_path / "out")
    torch.testing.assert_close(logits(tmp_path / "out"), logits(base, whole), atol=0.1, rtol=0.02)


def zero(part: str) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        for key, tensor in tensors.items():
            if f"lora_{part}" in key:
                tensor.zero_()

    return change


def tiny(tensors: Tensors) -> None:
    for tensor in tensors.values():
        tensor.mul_(1e-6)


@pytest.mark.parametrize(
    ("change", "keys", "why"),
    [
        (zero("B"), {}, "lora_B is zero in all of its 4 layers"),
        (zero("A"), {}, "lora_A is zero in all of its 4 layers"),
        (lambda tensors: tensors[Q0 + "B.weight"].neg_() and zero("B")(tensors), {}, "lora_B is zero"),
        (lambda tensors: None, {"lora_alpha": 0}, "lora_alpha is 0 in adapter_config.json"),
        (lambda tensors: None, {"lora_alpha": 0, "alpha_pattern": {"q_proj": 0}}, "lora_alpha is 0"),
        (tiny, {}, "rounded to the base's dtype, all 4 tensors that it touches are the base's"),
    ],
    ids=["zero B", "zero A", "negated zero", "zero alpha", "zero alphas", "too small"],
)
def test_an_adapter_that_changes_nothing_is_an_error(
    adapter: Path, change: Callable[[Tensors], None], keys: dict[str, Any], why: str
) -> None:
    if why.startswith("lora_B is zero") and "all" not in why:
        edit(adapter, zero("B"))
        edit(adapter, lambda tensors: {key: -tensor for key, tensor in tensors.items()})
    else:
        edit(adapter, change)
    configure(adapter, **keys)
    message = refused(adapter)
    assert "this adapter changes nothing" in message
    assert why in message


def test_untrained_dora_and_saved_modules_change_nothing_either(
    base: Path, trained: Callable[..., Path], tmp_path: Path
) -> None:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    settings = {"r": 4, "target_modules": ["q_proj"], "use_dora": True, "modules_to_save": ["norm"]}
    get_peft_model(model, LoraConfig(**settings)).save_pretrained(tmp_path / "adapter")
    assert "this adapter changes nothing" in refused(tmp_path / "adapter")


@pytest.mark.parametrize("key", ["target_modules", "rank_pattern", "alpha_pattern"])
def test_a_pattern_without_end_is_stopped(adapter: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "PATTERN_SECONDS", 0.3)
    endless = r"(([a-z_.0-9]*)*)*!"
    configure(adapter, **{key: endless if key == "target_modules" else {endless: 4}})
    # The targets are only asked about a layer that the adapter lacks.
    edit(adapter, lambda tensors: {name: tensor for name, tensor in tensors.items() if not name.startswith(PATH)})
    assert "could not be matched" in refused(adapter)


def test_keys_that_say_nothing_are_read_as_left_out(adapter: Path, tmp_path: Path) -> None:
    configure(adapter, rank_pattern=None, alpha_pattern=None, modules_to_save=["score"], exclude_modules=None)
    assert isinstance(merge_any(adapter, tmp_path / "out"), AnyMerge)


def test_one_changed_layer_is_enough(adapter: Path, tmp_path: Path) -> None:
    def keep_one(tensors: Tensors) -> None:
        for key, tensor in tensors.items():
            if "lora_B" in key and not key.startswith(PATH):
                tensor.zero_()

    edit(adapter, keep_one)
    assert isinstance(merge_any(adapter, tmp_path / "out"), AnyMerge)


def empty(tensors: Tensors) -> Tensors:
    return {key: torch.empty(0) for key in tensors}


def one_empty(tensors: Tensors) -> Tensors:
    return tensors | {Q0 + "B.weight": torch.empty(0)}


def transposed(tensors: Tensors) -> Tensors:
    return {key: tensor.T.contiguous() for key, tensor in tensors.items()}


def elsewhere(tensors: Tensors) -> Tensors:
    return renamed(lambda key: key.replace("self_attn.q_proj", "attention.query").replace("down_proj", "dense"))(
        tensors
    )


def twice(tensors: Tensors) -> Tensors:
    return tensors | renamed(lambda key: key.replace(".weight", ".other.weight"))(
        {k: v.clone() for k, v in tensors.items()}
    )


def deeper_too(tensors: Tensors) -> Tensors:
    return tensors | renamed(lambda key: key.replace("model.layers", "model.language_model.layers"))(
        {k: 5 * v for k, v in tensors.items() if k.startswith(PATH)}
    )


def whole_too(tensors: Tensors) -> Tensors:
    rows, columns = tensors[Q0 + "B.weight"].shape[0], tensors[Q0 + "A.weight"].shape[1]
    return tensors | {PATH + "weight": torch.zeros(rows, columns)}


def vector(tensors: Tensors) -> Tensors:
    return tensors | {Q0 + "A.weight": torch.zeros(4)}


def wide(tensors: Tensors) -> Tensors:
    return tensors | {"base_model.model.model.embed_tokens.weight": torch.zeros(384, 32)}


def original(tensors: Tensors) -> Tensors:
    return tensors | {"base_model.model.lm_head.original_module.weight": torch.zeros(384, 32)}


def narrow(tensors: Tensors) -> Tensors:
    return tensors | {"base_model.model.lm_head.weight": torch.zeros(300, 32)}


def nan(tensors: Tensors) -> None:
    tensors[Q0 + "B.weight"][0, 0] = float("nan")


def infinite(tensors: Tensors) -> None:
    tensors[Q0 + "B.weight"][0, 0] = float("inf")


def half(tensors: Tensors) -> Tensors:
    return {key: tensor for key, tensor in tensors.items() if "layers.1" not in key or "q_proj" not in key}


def without_b(tensors: Tensors) -> Tensors:
    return {key: tensor for key, tensor in tensors.items() if key != Q0 + "B.weight"}


def unfetched(tensors: Tensors) -> None:
    for tensor in [tensors[key] for key in sorted(tensors)][-3:]:
        tensor.zero_()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (unfetched, "and the tensors behind it hold nothing but zeros"),
        (empty, "8 of 8 tensors are empty, the first is"),
        (one_empty, "1 of 8 tensors are empty"),
        (transposed, "it was stored transposed"),
        (elsewhere, "nor any of the adapter's 4 layers: it is for another architecture"),
        (twice, "are both the lora_A of one layer: two adapters"),
        (deeper_too, "are both for the base's model.layers.0.self_attn.q_proj.weight: two adapters"),
        (whole_too, "are both for the base's model.layers.0.self_attn.q_proj.weight: two adapters"),
        (vector, "has shape [4], and only matrices are merged"),
        (wide, "has 384 rows, the base's model.embed_tokens.weight 320: the vocabulary was enlarged"),
        (original, "has 384 rows, the base's lm_head.weight 320: the vocabulary was enlarged"),
        (narrow, "the vocabulary was cut"),
        (nan, "NaN"),
        (infinite, "NaN or infinity"),
        (half, "targets layer model.layers.1.self_attn.q_proj, but the adapter has no tensors for it"),
        (without_b, "misses lora_B"),
    ],
)
def test_each_fault_of_the_tensors_has_its_own_message(
    adapter: Path, change: Callable[[Tensors], Tensors | None], said: str
) -> None:
    edit(adapter, change)
    assert said in refused(adapter)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"r": 8}, "has rank 4, but adapter_config.json says 8"),
        ({"r": None}, "`r`: Input should be a valid integer, got None"),
        ({"lora_alpha": None}, "`lora_alpha`: Input should be a valid number, got None"),
        ({"lora_alpha": float("inf")}, "`lora_alpha`: Input should be a finite number, got inf"),
        ({"alpha_pattern": {"q_proj": float("nan")}}, "Input should be a finite number"),
        ({"exclude_modules": "("}, "`exclude_modules"),
        ({"layers_to_transform": "x"}, "layers_to_transform"),
        ({"target_modules": ["q_proj"]}, "does not target layer model.layers.0.mlp.down_proj"),
        ({"target_modules": None}, "does not target layer"),
        ({"exclude_modules": ["down_proj"]}, "does not target layer model.layers.0.mlp.down_proj"),
        ({"layers_to_transform": [0]}, "does not target layer model.layers.1."),
        ({"modules_to_save": ["lm_head"]}, "says that lm_head was trained as a whole"),
        ({"modules_to_save": ["norm"]}, "says that norm was trained as a whole"),
        ({"lora_bias": True}, "misses lora_B.bias"),
        ({"peft_type": "IA3"}, "peft_type is IA3; only LORA can be merged"),
        ({"peft_type": "VERA"}, "peft_type is VERA"),
        ({"peft_type": "ADALORA"}, "peft_type is ADALORA"),
        ({"peft_type": "LOHA"}, "peft_type is LOHA"),
        ({"peft_type": "PROMPT_TUNING"}, "it adds inputs and no weights"),
        ({"peft_type": "NEW_THING"}, "PEFT cannot read it"),
        ({"init_lora_weights": "pissa"}, "its training changed the base too"),
        ({"init_lora_weights": "loftq", "loftq_config": {}}, "its training changed the base too"),
        ({"base_model_name_or_path": "/nowhere/Qwen3-8B"}, "--base"),
        ({"base_model_name_or_path": "models/Qwen3-8B"}, "models/Qwen3-8B, cannot be used"),
        ({"base_model_name_or_path": "./Qwen3-8B"}, "--base"),
        ({"base_model_name_or_path": None}, "--base"),
        ({"base_model_name_or_path": ""}, "--base"),
    ],
)
def test_each_fault_of_the_configuration_has_its_own_message(
    adapter: Path, keys: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    configure(adapter, **keys)
    message = refused(adapter)
    assert said in message
    assert "base_model_name_or_path" not in keys or "--base" in message


def test_a_folder_of_adapters_and_one_without_weights_say_so(adapter: Path, tmp_path: Path) -> None:
    several = tmp_path / "several"
    for name in ("default", "sft"):
        shutil.copytree(adapter, several / name)
    message = refused(several)
    assert "holds 2 adapters in subfolders: default, sft" in message
    assert str(several / "sft") in message
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    assert "adapter_model.safetensors is missing (adapter_model.bin is there)" in refused(adapter)


@pytest.mark.parametrize("cut", [0, 4, 200, -40])
def test_a_file_that_was_cut_short_is_refused(adapter: Path, cut: int) -> None:
    file = adapter / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:cut])
    refused(adapter)


def give_tokenizer(adapter: Path, base: Path, *tokens: str) -> int:
    """Saves the base's tokenizer with more tokens into an adapter; returns the id of the first."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(list(tokens))
    tokenizer.save_pretrained(adapter)
    return int(tokenizer.convert_tokens_to_ids(tokens[0])) if tokens else 0


@pytest.mark.parametrize("fmt", ["vllm", "gguf"])
def test_new_tokens_in_spare_rows_go_along(base: Path, adapter: Path, tmp_path: Path, fmt: Any) -> None:
    place = give_tokenizer(adapter, base, "<工单>", "</工单>")
    done = merge_any(adapter, tmp_path / "out", fmt, quant="bf16")
    assert done.base == base.resolve()
    (note,) = done.notes
    assert "2 tokens are new (<工单>, </工单>)" in note
    assert "their embeddings were not trained" in note
    if fmt == "vllm":
        merged = AutoTokenizer.from_pretrained(tmp_path / "out")
        assert merged.encode("<工单>") == [place]
        assert merged.chat_template == AutoTokenizer.from_pretrained(base).chat_template
        assert not any(file.is_symlink() for file in (tmp_path / "out").iterdir())


def test_a_private_file_beside_new_tokens_is_not_handed_on(base: Path, adapter: Path, tmp_path: Path) -> None:
    give_tokenizer(adapter, base, "<tool>")
    (tmp_path / "config.json").write_text('{"auths": "secret"}')
    (adapter / "special_tokens_map.json").unlink(missing_ok=True)
    (adapter / "special_tokens_map.json").symlink_to(tmp_path / "config.json")
    with pytest.raises(ConfigError, match="leads out of the model"):
        merge_any(adapter, tmp_path / "out")


def test_new_tokens_with_trained_rows(base: Path, trained: Callable[..., Path], tmp_path: Path) -> None:
    adapter = Path(shutil.copytree(trained(modules_to_save=["embed_tokens"]), tmp_path / "adapter"))
    give_tokenizer(adapter, base, "<工单>")
    (note,) = merge_any(adapter, tmp_path / "out").notes
    assert note.endswith("1 tokens are new (<工单>)")


def test_new_tokens_that_cannot_go_along_stop_the_merge(base: Path, adapter: Path, tmp_path: Path) -> None:
    give_tokenizer(adapter, base, *(f"<t{n}>" for n in range(40)))
    assert "has the id" in (message := refused(adapter))
    assert "has 320 rows" in message
    give_tokenizer(adapter, base, "<工单>")
    spec = json.loads((adapter / "tokenizer.json").read_text())
    (adapter / "tokenizer.json").unlink()
    (adapter / "added_tokens.json").write_text('{"<工单>": 312}')
    assert "no tokenizer.json" in refused(adapter)
    known = next(token for token in spec["added_tokens"] if token["content"] == "<工单>")
    (adapter / "tokenizer.json").write_text(json.dumps({**spec, "added_tokens": [{**known, "id": 5}]}))
    (adapter / "added_tokens.json").unlink()
    assert "as id 5, which is" in refused(adapter)
    vocabulary = {token: place + 1 for token, place in spec["model"]["vocab"].items()}
    spec["model"]["vocab"] = vocabulary
    (adapter / "tokenizer.json").write_text(json.dumps(spec))
    assert "trained with another tokenizer" in refused(adapter)


def test_the_bases_own_tokenizer_in_the_adapter_is_no_news(base: Path, adapter: Path, tmp_path: Path) -> None:
    give_tokenizer(adapter, base)
    assert merge_any(adapter, tmp_path / "out").notes == []
    assert (tmp_path / "out/tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()


SAME = TEMPLATE.replace("{% for m in messages %}", "{%- for m in messages -%}").replace("m.role", "m['role']")
OTHER = TEMPLATE.replace("assistant\n", "assistant\n<think>\n")


@pytest.mark.parametrize("place", ["jinja", "json", "inline", "named"])
@pytest.mark.parametrize(
    ("template", "differs"), [(TEMPLATE, False), (SAME, False), (OTHER, True), ("{{ broken", True)]
)
def test_templates_are_compared_by_what_they_render(
    base: Path, adapter: Path, tmp_path: Path, place: str, template: str, differs: bool
) -> None:
    if place == "jinja":
        (adapter / "chat_template.jinja").write_text(template)
    elif place == "json":
        (adapter / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    else:
        named = [{"name": "default", "template": template}, {"name": "tool_use", "template": "x"}]
        value = template if place == "inline" else named
        (adapter / "tokenizer_config.json").write_text(json.dumps({"chat_template": value}))
    notes = merge_any(adapter, tmp_path / "out").notes
    assert [("differs from the base's template" in note) for note in notes] == [True] * differs


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda tensors: tensors["model.norm.weight"].__setitem__(3, float("nan")),
            "norm.weight of the base holds NaN",
        ),
        (lambda tensors: {}, "hold no tensor"),
        (
            lambda tensors: tensors | {W0: tensors[W0].to(torch.int16)},
            "q_proj.weight is of type I16, to which nothing can be added",
        ),
        (lambda tensors: tensors | {W0: tensors[W0].to(torch.complex64)}, "is of type C64, which no weights have"),
    ],
    ids=["NaN that is copied", "none", "integers", "complex numbers"],
)
def test_a_base_that_cannot_be_added_to_is_refused(
    base: Path, adapter: Path, tmp_path: Path, change: Callable[[Tensors], Tensors | None], said: str
) -> None:
    strange = Path(shutil.copytree(base, tmp_path / "strange"))
    tensors = load_file(strange / "model.safetensors")
    changed = change(tensors)
    save_file(tensors if changed is None else changed, strange / "model.safetensors", metadata={"format": "pt"})
    assert said in refused(adapter, strange)


def test_a_template_without_end_is_not_waited_for(
    base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_template, "SECONDS", 0.3)
    loops = "".join(f"{{% for i{n} in range(99999) %}}" for n in range(3)) + "{% endfor %}" * 3
    (adapter / "chat_template.jinja").write_text(loops)
    [note] = merge_any(adapter, tmp_path / "out").notes
    assert "could not be compared with the base's" in note
    assert "0.3 s of processor time" in note


def test_adapters_without_effect_are_not_served(base: Path, adapter: Path) -> None:
    refuse_unservable(adapter, base)
    whole = load_file(adapter / "adapter_model.safetensors")
    for change, said in (
        (zero("B"), "changes nothing: lora_B is zero in all of its 4 layers"),
        (elsewhere, "changes nothing: none of its 4 layers is in"),
        (empty, "ZeRO-3"),
        (unfetched, "did not come to its end"),
        (nan, "holds NaN or infinity"),
    ):
        edit(adapter, change)
        with pytest.raises(ConfigError) as error:
            refuse_unservable(adapter, base)
        assert said in error.value.message
        assert error.value.next_step
        save_file(whole, adapter / "adapter_model.safetensors")
    configure(adapter, lora_alpha=0)
    with pytest.raises(ConfigError, match="changes nothing: lora_alpha is 0"):
        refuse_unservable(adapter, base)
