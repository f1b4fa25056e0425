"""A model that could not go the whole way is refused by name, before its weights are fetched."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from configs import predecessor
from configs.errors import ConfigError
from tests.trainer.conftest import DEMO_MODEL, make_run, run_stage
from trainer.architectures import DROPPED_BY_VLLM, FAST, GENERAL, OWN_CODE, architecture_of, check_architecture
from trainer.data import prepare


def folder(tmp_path: Path, **config: Any) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer_config.json").write_text("{}")
    return tmp_path


def source_of(package: str, file: str) -> str:
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent.joinpath(file).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("config", "name", "part"),
    [
        ({"architectures": ["BaichuanForCausalLM"]}, "BaichuanForCausalLM", "vLLM 0.32"),
        ({"architectures": ["ChatGLMModel"]}, "ChatGLMModel", "Unsloth trains what transformers implements"),
        ({"architectures": ["NewForCausalLM"], "auto_map": {"AutoModelForCausalLM": "x.y"}}, "NewForCausalLM", "own"),
        ({"architectures": ["Qwen3VLForConditionalGeneration"], "vision_config": {}}, "Qwen3VL", "text models"),
        ({"architectures": ["Qwen3MoeForCausalLM"], "num_experts": 128}, "Qwen3Moe", "the merge takes dense models"),
        ({"architectures": ["BertForMaskedLM"]}, "BertForMaskedLM", "decoders"),
        ({"architectures": ["RwkvForCausalLM"]}, "RwkvForCausalLM", "none of those that Unsloth and vLLM"),
        ({"model_type": "mamba"}, "mamba", "decoders"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_the_part_and_what_to_use(
    tmp_path: Path, config: dict[str, Any], name: str, part: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_architecture(folder(tmp_path, **config))
    assert name in caught.value.message
    assert part in caught.value.message
    assert "Qwen/Qwen3-14B" in caught.value.next_step


def test_quantized_base_is_refused_before_training(tmp_path: Path) -> None:
    quantized = {"architectures": ["Qwen3ForCausalLM"], "quantization_config": {"quant_method": "gptq"}}
    with pytest.raises(ConfigError, match=r"quantized \(gptq\)"):
        check_architecture(folder(tmp_path, **quantized))


@pytest.mark.parametrize("name", FAST)
def test_what_unsloth_has_kernels_for_is_taken_in_silence(tmp_path: Path, name: str) -> None:
    assert check_architecture(folder(tmp_path, architectures=[name])) is None


@pytest.mark.parametrize("name", GENERAL)
def test_what_takes_the_general_path_comes_with_a_warning(tmp_path: Path, name: str) -> None:
    assert "only a tiny one" in (check_architecture(folder(tmp_path, architectures=[name])) or "")


def test_without_architectures_the_model_type_decides() -> None:
    assert architecture_of({"model_type": "qwen3"}) == "Qwen3ForCausalLM"


def test_embedded_model_is_taken() -> None:
    assert check_architecture(DEMO_MODEL) is None


def test_tables_agree_with_the_pinned_packages() -> None:
    """Read from vLLM's and transformers' own lists, as text: importing them takes long."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed")
    vllm = source_of("vllm", "model_executor/models/registry.py")
    served, dropped = vllm.split("_PREVIOUSLY_SUPPORTED_MODELS = {")
    transformers = source_of("transformers", "models/auto/modeling_auto.py")
    for name, kind in (FAST | GENERAL).items():
        assert f'"{name}":' in served, name
        assert f'"{kind}", "{name}")' in transformers, name
    assert [name for name in DROPPED_BY_VLLM if f'"{name}":' not in dropped or f'"{name}":' in served] == []
    assert [name for name in OWN_CODE if f'"{name}")' in transformers] == []


def test_no_weights_are_fetched_for_a_refused_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[bool] = []

    def resolve(model: str, hub: str, offline: bool, *, weights: bool = True) -> Path:
        fetched.append(weights)
        return folder(tmp_path, architectures=["BaichuanForCausalLM"])

    monkeypatch.setattr(predecessor, "resolve_model", resolve)
    run = make_run(tmp_path, "refused")
    with pytest.raises(ConfigError, match="BaichuanForCausalLM"):
        prepare.data_stage(run, run.config())
    assert fetched == [False]


@pytest.mark.slow
def test_stage_ends_with_exit_code_2(workshop: Path) -> None:
    model = workshop / "runs" / "baichuan"
    model.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(b"\2" + bytes(7) + b"{}")
    run = make_run(workshop, "baichuan-run", model=str(folder(model, architectures=["BaichuanForCausalLM"])))
    done = run_stage("data", run, folder=workshop, check=False)
    assert done.returncode == 2
    assert "BaichuanForCausalLM cannot be taken: vLLM 0.32 does not serve it any more" in done.stderr
    assert "next: " in done.stderr
