"""vLLM reads the 4-bit export as transformers does: the served likelihoods are those of the rounded weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, CompressedTensorsConfig

from configs.model.files import weight_files
from configs.recipe.schema import ServeConfig
from serve.launch.command import build_command, installed_device
from serve.launch.processor import has_avx512
from serve.launch.target import folder_target
from serve.process.server import VllmServer
from tests.serve.fakes import free_port
from tests.trainer.tiny_models import IDS, make_model
from trainer.export.changes import index_weights
from trainer.export.int4 import export_4bit
from trainer.export.new_folder import Export
from trainer.export.tensors import TensorReader

pytestmark = pytest.mark.slow


def logprobs(folder: Path, config: CompressedTensorsConfig | None = None) -> torch.Tensor:
    """Log-likelihood of each token but the first, through transformers in fp32."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, quantization_config=config)
    with torch.no_grad():
        spread = model(IDS).logits[0].log_softmax(-1)
    return spread[:-1].gather(1, IDS[0, 1:, None])[:, 0]


def test_served_four_bits_are_the_rounded_weights(tmp_path: Path):
    if installed_device() != "cpu":
        pytest.skip("starts the CPU build of vLLM")
    if not has_avx512():
        pytest.skip("vLLM's CPU build computes 4 bits with AVX-512 only")
    model = make_model(tmp_path / "model", "qwen3", torch.bfloat16, False, 128, intermediate_size=256, head_dim=32)
    folder = export_4bit(TensorReader(index_weights(weight_files(model))), Export(model, tmp_path / "int4"))
    command = build_command(folder_target(folder, "four"), ServeConfig(port=free_port()))
    ids = IDS[0].tolist()
    with VllmServer(command, tmp_path / "serve.log", 300) as server:
        body = {"model": "four", "prompt": ids, "max_tokens": 1, "prompt_logprobs": 0}
        rows = server.client.post("/v1/completions", body)["choices"][0]["prompt_logprobs"]
    served = torch.tensor([row[str(token)]["logprob"] for token, row in zip(ids[1:], rows[1:], strict=True)])
    rounded = logprobs(folder, CompressedTensorsConfig(dequantize=True))
    lost = (logprobs(model) - rounded).abs().mean()
    assert lost > 0.1, "random weights lose enough for the difference to show"
    assert (served - rounded).abs().mean() < 0.1 * lost
