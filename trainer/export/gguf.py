"""A GGUF file of a model, for llama.cpp and what builds on it: weights, tokenizer and chat template in one file.

Written with the `gguf` library, tensor by tensor. f16, bf16 and q8_0 are made here; the K-quants (q4_k_m and others) by
llama.cpp's own `llama-quantize`, where it is installed.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Quant
from transformers import AutoConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from configs.errors import ConfigError, TuneserveError
from configs.model.shape import DecoderShape
from configs.process.child import die_with
from trainer.data.tokenizer import load_tokenizer
from trainer.export.new_folder import Export, check_free_space, new_folder
from trainer.export.safetensors import TensorSource, TensorSpec
from trainer.loading import loading
from trainer.requirements import K_QUANTS, check_gguf_model, find_quantizer

QUANTS = {"f16": Quant.F16, "bf16": Quant.BF16, "q8_0": Quant.Q8_0}
FILE_TYPES = {
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "bf16": gguf.LlamaFileType.MOSTLY_BF16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}
ARCHITECTURES = {
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
    "qwen3_moe": gguf.MODEL_ARCH.QWEN3MOE,
    "llama": gguf.MODEL_ARCH.LLAMA,
}
_EXPERT = re.compile(r"(?P<all>.*\.experts)\.\d+(?P<matrix>\..*)")
"""The name of one expert's matrix; a GGUF holds those of a layer as one tensor."""


@dataclass(frozen=True)
class GgufResult:
    """What was written."""

    file: Path
    quant: str
    size_gb: float
    """In GB of 1e9 bytes."""
    tensors: int


def export_gguf(
    tensors: TensorSource,
    export: Export,
    name: str,
    quant: str = "q8_0",
    beside: Callable[[Path, str], None] = lambda folder, file: None,
) -> GgufResult:
    """Writes `NAME-QUANT.gguf` into the folder of the export.

    Args:
        tensors: the 16-bit weights, under the names that transformers gives them.
        name: the model's name in the file and of the file.
        quant: `f16`, `bf16`, `q8_0`, or a K-quant such as `q4_k_m` where `llama-quantize` is on the PATH.
        beside: writes what belongs to the file of that name into the folder, which has its own name only afterwards.

    Raises:
        ConfigError: the number format, the architecture or the tokenizer cannot be written as GGUF here.
        TuneserveError: the disk is full, a value does not fit f16, or `llama-quantize` failed.
    """
    quant = quant.lower()
    quantizer = find_quantizer(quant) if quant in K_QUANTS else None
    if quant not in QUANTS and quant not in K_QUANTS:
        raise ConfigError(f"quant {quant!r} is unknown", f"take one of {', '.join([*QUANTS, *K_QUANTS])}")
    out, direct = export.out, quant if quant in QUANTS else "bf16"
    layout = _Layout(tensors, export.model, QUANTS[direct])
    with new_folder(out, layout.nbytes, export.redo) as partial:
        file = partial / f"{name}-{direct.upper()}.gguf"
        layout.write(file, name, FILE_TYPES[direct], export)
        if quantizer is not None:
            check_free_space(out, layout.nbytes * 6 // 16)
            full, file = file, partial / f"{name}-{quant.upper()}.gguf"
            command = [str(quantizer), str(full), str(file), quant.upper()]
            ending_with_us = functools.partial(die_with, os.getpid())
            done = subprocess.run(
                command,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                preexec_fn=ending_with_us,
                check=False,
            )
            if done.returncode:
                raise TuneserveError(
                    f"llama-quantize failed on {full.name}: {(done.stderr or done.stdout).strip()[-300:]}",
                    "take q8_0, or another version of llama.cpp",
                )
            full.unlink()
        size = file.stat().st_size
        beside(partial, file.name)
    return GgufResult(out / file.name, quant, round(size / 1e9, 6), len(layout.infos))


@dataclass(frozen=True)
class _Info:
    """A tensor of the file: where it comes from and how it is stored."""

    name: str
    sources: tuple[str, ...]
    """Its name in transformers; of a layer's experts the name of each, none for what is computed."""
    shape: tuple[int, ...]
    quant: Quant

    @property
    def nbytes(self) -> int:
        block, size = gguf.GGML_QUANT_SIZES[self.quant]
        return int(np.prod(self.shape)) // block * size


class _Layout:
    """Names, shapes and formats of everything in the file, found before it is opened."""

    def __init__(self, tensors: TensorSource, model: Path, quant: Quant) -> None:
        self.tensors, self.model = tensors, model
        self.pre = check_gguf_model(model)
        with loading(model, weights=False):
            self.config = AutoConfig.from_pretrained(str(model), local_files_only=True, trust_remote_code=False)
        kind = self.config.model_type
        kinds = getattr(self.config, "layer_types", None) or ()
        if kind != "llama" and "sliding_attention" in kinds:
            raise ConfigError(
                f"{model}: use_sliding_window is on, which the GGUF would lose", "convert with llama.cpp instead"
            )
        if kind == "qwen3_moe" and (self.config.mlp_only_layers or self.config.decoder_sparse_step != 1):
            raise ConfigError(
                f"{model}: some of its layers have no experts, which a GGUF of qwen3moe cannot say",
                "convert with llama.cpp instead",
            )
        names = gguf.get_tensor_name_map(ARCHITECTURES[kind], self.config.num_hidden_layers)
        self.infos = []
        for together, specs in _by_layer(tensors.specs()).items():
            name = names.get_name(together, try_suffixes=(".weight", ".bias"))
            if name is None:
                raise ConfigError(
                    f"{model}: tensor {specs[0].name} has no place in a GGUF of architecture {kind}",
                    "merge with --format vllm and convert that folder with llama.cpp's convert_hf_to_gguf.py",
                )
            shape = specs[0].shape if together == specs[0].name else (len(specs), *specs[0].shape)
            # The choice of experts is a narrow matrix, which llama.cpp keeps as it is.
            stored = Quant.F32 if ".ffn_gate_inp." in name else _stored_as(shape, quant)
            self.infos.append(_Info(name, tuple(spec.name for spec in specs), shape, stored))
        self.rope_factors = rope_factors(self.config)
        if self.rope_factors is not None:
            self.infos.append(_Info("rope_freqs.weight", (), self.rope_factors.shape, Quant.F32))

    @property
    def nbytes(self) -> int:
        return sum(info.nbytes for info in self.infos) + sum(f.stat().st_size for f in self.model.glob("tokenizer*"))

    def write(
        self,
        file: Path,
        name: str,
        file_type: gguf.LlamaFileType,
        export: Export,
    ) -> None:
        writer = gguf.GGUFWriter(str(file), gguf.MODEL_ARCH_NAMES[ARCHITECTURES[self.config.model_type]])
        try:
            writer.add_name(name)
            writer.add_file_type(file_type)
            writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
            _add_architecture(writer, self.config)
            _add_tokenizer(writer, self.model, self.pre, self.config.vocab_size, export.end_token_id)
            for info in self.infos:
                stored = gguf.quant_shape_to_byte_shape(info.shape, info.quant)
                writer.add_tensor_info(info.name, stored, np.dtype(np.uint8), info.nbytes, raw_dtype=info.quant)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            done, total = 0, sum(info.nbytes for info in self.infos)
            for info in self.infos:
                writer.write_tensor_data(self._data(info))
                done += info.nbytes
                if export.on_progress:
                    export.on_progress(done, total)
            writer.flush()
        finally:
            writer.close()

    def _data(self, info: _Info) -> np.ndarray:
        """The stored bytes of a tensor."""
        if not info.sources:
            assert self.rope_factors is not None
            return self.rope_factors.view(np.uint8)
        tensor = self.tensors.tensor(info.sources[0]).cpu()
        if info.shape != tuple(tensor.shape):
            tensor = torch.stack([self.tensors.tensor(name).cpu() for name in info.sources])
        if self.config.model_type == "llama" and (".attn_q." in info.name or ".attn_k." in info.name):
            heads = self.config.num_attention_heads if ".attn_q." in info.name else self.config.num_key_value_heads
            tensor = interleave_rotary(tensor, heads)
        if info.quant == Quant.BF16 and tensor.dtype == torch.bfloat16:
            return tensor.contiguous().view(torch.uint8).numpy()
        data = gguf.quantize(tensor.float().numpy(), info.quant)
        if info.quant == Quant.F16 and not np.isfinite(data).all():
            raise TuneserveError(
                f"tensor {info.sources[0]}: has values that f16 cannot hold", "take --quant bf16 or q8_0"
            )
        return data if data.dtype == np.uint8 else data.view(np.uint8)


def _by_layer(specs: Sequence[TensorSpec]) -> dict[str, list[TensorSpec]]:
    """Tensors by name, those of a layer's experts under the name of all, in the experts' order."""
    found: dict[str, list[TensorSpec]] = {}
    for spec in specs:
        match = _EXPERT.fullmatch(spec.name)
        found.setdefault(match["all"] + match["matrix"] if match else spec.name, []).append(spec)
    for of_layer in found.values():
        of_layer.sort(key=lambda spec: [int(part) for part in spec.name.split(".") if part.isdigit()])
    return found


def interleave_rotary(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Query or key rows (heads x head_dim, ...) from transformers' rotary order (halves) to llama.cpp's (pairs)."""
    half = weight.shape[0] // heads // 2
    return weight.reshape(heads, 2, half, *weight.shape[1:]).transpose(1, 2).reshape(weight.shape)


def rope_factors(config: Any) -> np.ndarray | None:
    """What llama.cpp divides the rotary frequencies by, (head_dim / 2,), for Llama 3.1's scaling; None for others.

    Raises:
        ConfigError: the scaling has no counterpart in GGUF.
    """
    rope = config.rope_parameters
    kind = rope.get("rope_type", "default")
    if kind in ("default", "linear", "yarn"):
        return None
    if kind != "llama3":
        raise ConfigError(f"rope scaling {kind!r} cannot be written as GGUF here", "convert with llama.cpp instead")
    head_dim = DecoderShape.of(config.to_dict()).head_dim
    plain = 1.0 / rope["rope_theta"] ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    return (plain / scaled).numpy().astype(np.float32)


def _stored_as(shape: tuple[int, ...], quant: Quant) -> Quant:
    """Norms and biases stay exact; rows that a block format cannot divide fall back to f16, as llama.cpp does it."""
    if len(shape) == 1:
        return Quant.F32
    return quant if shape[-1] % gguf.GGML_QUANT_SIZES[quant][0] == 0 else Quant.F16


def _add_architecture(writer: gguf.GGUFWriter, config: Any) -> None:
    shape = DecoderShape.of(config.to_dict())
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(config.intermediate_size)
    if config.model_type == "qwen3_moe":
        writer.add_expert_count(config.num_experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(shape.vocabulary)
    rope: Mapping[str, Any] = config.rope_parameters
    writer.add_rope_freq_base(rope["rope_theta"])
    kind = rope.get("rope_type", "default")
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(rope["factor"])
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])


def _add_tokenizer(writer: gguf.GGUFWriter, model: Path, pre: str, vocabulary: int, end_token_id: int | None) -> None:
    """Tokens by id with their kinds, merges, special ids and the chat template."""
    tokenizer = load_tokenizer(model)
    by_id = {index: token for token, index in tokenizer.get_vocab().items()}
    added = tokenizer.added_tokens_decoder
    tokens, kinds = [], []
    for index in range(vocabulary):
        tokens.append(by_id.get(index, f"[PAD{index}]"))
        if index in added:
            kinds.append(gguf.TokenType.CONTROL if added[index].special else gguf.TokenType.USER_DEFINED)
        else:
            kinds.append(gguf.TokenType.NORMAL if index in by_id else gguf.TokenType.UNUSED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    special = gguf.SpecialVocab(str(model), load_merges=True, n_vocab=vocabulary)
    # Of chat_template.jinja and tokenizer_config.json this class takes the one that transformers does not.
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = [{"name": name, "template": source} for name, source in template.items()]
    special.chat_template = template
    if end_token_id is not None and end_token_id != special.special_token_ids.get("eos"):
        special.special_token_ids["eot"] = end_token_id
    special.add_to_gguf(writer, quiet=True)
