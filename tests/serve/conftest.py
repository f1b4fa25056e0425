"""A tiny trained-looking run, and one real vLLM server on the CPU that the slow tests share."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import configs
from configs.handover.base import write_rows
from configs.handover.rows import HeldoutRow, ParityRow, ProofRow
from configs.recipe.schema import RunConfig
from configs.run.rundir import RunDir
from serve.launch.command import build_command, installed_device
from serve.launch.target import Target, adapter_target, read_adapter
from serve.launch.template import chat_template, render
from serve.process.server import VllmServer
from tests.facts import prepared
from tests.serve.fakes import free_port

DEMO_MODEL = Path(configs.__file__).parent / "demo" / "model"

QUESTIONS = (
    "你好，请介绍一下你自己。",
    "三加五等于多少？",
    "请用一句话概括：张华昨天在南京买了一本书。",
    "下列哪一个是水果？A. 苹果 B. 石头",
    "这台机器的保修期有多长？",
    "从下面的短文中找出答案：李明住在北京，他今年二十岁。问题：李明住在哪里？",
)
ANSWERS = ("我是一个助手。", "8", "张华买了书。", "A", "两年", "北京")


@pytest.fixture(autouse=True)
def _own_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the state files of servers under test away from the user's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="session")
def demo_model() -> Path:
    if not (DEMO_MODEL / "model.safetensors").is_file():
        pytest.skip("the embedded model has not been built")
    return DEMO_MODEL


@dataclass(frozen=True)
class TinyRun:
    """A run directory with an adapter, and two planted mistakes beside it."""

    run: RunDir
    half: Path
    """The adapter at half its scale."""
    skipped: Path
    """The adapter without one of its layers."""


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, demo_model: Path) -> TinyRun:
    """The embedded model with a random adapter, and the rows that the trainer would have stored for it."""
    folder = tmp_path_factory.mktemp("runs")
    raw = {
        "name": "tiny",
        "model": str(demo_model),
        "output_dir": str(folder),
        "data": {"sources": [{"path": "rows.jsonl"}]},
        "serve": {"aliases": ["tiny-latest"], "port": free_port()},
    }
    run = RunDir.create(RunConfig.model_validate(raw))
    for part in (run.data, run.logs):
        part.mkdir()
    run.update(prepared=prepared(demo_model))
    _write_adapter_and_proof(run, demo_model)
    rows = [
        ParityRow(id=f"p{i}", messages=[{"role": "user", "content": q}], tools=None, prompt_ids=prompt(demo_model, q))
        for i, q in enumerate(QUESTIONS)
    ]
    write_rows(run.data / "parity.jsonl", rows)
    heldout = [HeldoutRow(id=r.id, cluster=r.id, messages=r.messages, answers=["。"]) for r in rows]
    write_rows(run.data / "heldout.jsonl", heldout)
    return TinyRun(run, _half(run.adapter), _without_a_layer(run.adapter))


@pytest.fixture(scope="session")
def adapter_server(tiny_run: TinyRun) -> Iterator[VllmServer]:
    """One real server: the base, the adapter under its name and alias, and both planted mistakes as adapters."""
    if installed_device() != "cpu":
        pytest.skip("these tests start the CPU build of vLLM")
    target = with_mistakes(tiny_run)
    config = tiny_run.run.config().serve
    # A model this weak, allowed any white space in JSON, writes nothing else.
    compact = ["--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}']
    command = build_command(target, config, compact, drain_s=20)
    with VllmServer(command, tiny_run.run.logs / "serve.log", 300) as server:
        yield server


def with_mistakes(tiny: TinyRun) -> Target:
    """The run's adapter target with the planted mistakes under names of their own."""
    target = adapter_target(tiny.run, tiny.run.config())
    planted = tuple(read_adapter(p.name, p) for p in (tiny.half, tiny.skipped))
    return replace(target, adapters=(*target.adapters, *planted))


def prompt(model: Path, question: str, thinking: bool = False) -> list[int]:
    """Prompt ids, built without vLLM."""
    from tokenizers import Tokenizer

    text = render(chat_template(model), [{"role": "user", "content": question}], enable_thinking=thinking)
    return Tokenizer.from_file(str(model / "tokenizer.json")).encode(text, add_special_tokens=False).ids


def _write_adapter_and_proof(run: RunDir, base: Path) -> None:
    """A random adapter, and the likelihoods of some answers with and without it, read through transformers in fp32."""
    import torch
    from peft import LoraConfig, get_peft_model
    from peft.helpers import rescale_adapter_scale
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM

    torch.manual_seed(7)
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    layers = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        LoraConfig(r=8, lora_alpha=8, target_modules=layers, init_lora_weights=False, task_type="CAUSAL_LM"),
    )
    model.save_pretrained(run.adapter)
    rows = []
    for i, (question, answer) in enumerate(zip(QUESTIONS, ANSWERS, strict=True)):
        start = prompt(base, question)
        ids = start + tokenizer.encode(answer + "<|im_end|>", add_special_tokens=False).ids

        def answer_logprob(ids: list[int] = ids, start: int = len(start)) -> float:
            with torch.no_grad():
                logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
            return float(sum(logprobs[t - 1, ids[t]] for t in range(start, len(ids))))

        adapted = answer_logprob()
        with model.disable_adapter():
            plain = answer_logprob()
        scaled = {}
        for scale in (0.5, 0.85):
            with rescale_adapter_scale(model, scale):
                scaled[scale] = answer_logprob()
        rows.append(
            ProofRow(
                id=f"h{i}",
                input_ids=ids,
                answer_start=len(start),
                base_logprob=plain,
                adapter_logprob=adapted,
                scaled_logprobs=scaled,
            )
        )
    write_rows(run.data / "proof.jsonl", rows)


def _half(adapter: Path) -> Path:
    half = adapter.with_name("half")
    shutil.copytree(adapter, half)
    config = json.loads((half / "adapter_config.json").read_text())
    (half / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": config["lora_alpha"] / 2}))
    return half


def _without_a_layer(adapter: Path) -> Path:
    from safetensors.torch import load_file, save_file

    skipped = adapter.with_name("skipped")
    shutil.copytree(adapter, skipped)
    tensors = load_file(skipped / "adapter_model.safetensors")
    for name in tensors:
        if ".layers.2." in name and "lora_B" in name:
            tensors[name] = tensors[name] * 0
    save_file(tensors, skipped / "adapter_model.safetensors")
    return skipped
