"""Adapters of other trainers, small: the embedded model taught a little in the form of one of their templates."""

from __future__ import annotations

import json
from pathlib import Path

from tests.trainer.conftest import DEMO_MODEL, PRODUCTS, write_jsonl

ROWS, STEPS, BATCH = 24, 30, 6


def write_facts(folder: Path) -> Path:
    """The rows that such an adapter is trained on: questions that hold their answer, which a few steps teach."""
    rows = [
        {
            "instruction": f"{PRODUCTS[i % len(PRODUCTS)]}第{i}款的价格是{100 + 7 * i}元，多少钱？",
            "output": f"{100 + 7 * i}元。",
        }
        for i in range(ROWS)
    ]
    return write_jsonl(folder / "facts.jsonl", rows)


def train_adapter(facts: Path, rendering: str, folder: Path, *, end_trained: bool = True) -> None:
    """Trains an adapter by PEFT alone, on rows in the form of a named rendering; the end token may be left out."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from trainer.data.template import ChatCodec, render_turn
    from trainer.foreign.renderings import candidates

    codec = ChatCodec.load(DEMO_MODEL)
    chosen = next(r for r in candidates(codec, DEMO_MODEL, DEMO_MODEL) if r.name == rendering)
    codec.tokenizer.chat_template = chosen.template
    codec = ChatCodec(codec.tokenizer)
    rows = []
    for line in facts.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        messages = [
            {"role": "user", "content": row["instruction"]},
            {"role": "assistant", "content": row["output"]},
        ]
        turn = render_turn(codec, messages, 1, thinking=False)
        answer = turn.answer_ids if end_trained else turn.answer_ids[:-1]
        rows.append((turn.prompt_ids + answer, len(turn.prompt_ids)))
    torch.manual_seed(0)
    torch.set_num_threads(1)  # threads that wait for each other make a model this small many times slower
    layers = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(DEMO_MODEL, dtype=torch.float32),
        LoraConfig(r=16, lora_alpha=32, target_modules=layers, task_type="CAUSAL_LM"),
    )
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    longest = max(len(ids) for ids, _ in rows)
    ids, labels = torch.zeros(len(rows), longest, dtype=torch.long), torch.full((len(rows), longest), -100)
    for at, (tokens, start) in enumerate(rows):
        ids[at, : len(tokens)] = torch.tensor(tokens)
        labels[at, start : len(tokens)] = torch.tensor(tokens[start:])
    for _ in range(STEPS):
        batch = torch.randperm(len(rows))[:BATCH]
        model(input_ids=ids[batch], labels=labels[batch]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
