"""Measures the small model on the held-out suite.

python -m scripts.demo_model.check                     # the committed weights, on the CPU, about a minute
python -m scripts.demo_model.check --model DIR --json scores.json
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from scripts.demo_model import heldout
from scripts.demo_model.scoring import score
from scripts.demo_model.tokenizer import MODEL_DIR

MAX_NEW_TOKENS = {"summary": 64}


@torch.inference_mode()
def answers(
    model: Any, tokenizer: Any, rows: list[dict[str, Any]], max_new_tokens: int = 32, batch: int = 50
) -> list[str]:
    """Greedy answers with thinking off, in the order of the rows; batches are padded on the left."""
    prompts = [
        tokenizer.apply_chat_template(
            row["messages"], tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        for row in rows
    ]
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    texts = [""] * len(prompts)
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        inputs = tokenizer(
            [prompts[index] for index in chosen],
            padding=True,
            padding_side="left",
            return_tensors="pt",
            add_special_tokens=False,
        )
        inputs = {key: value.to(model.device) for key, value in inputs.items() if key != "token_type_ids"}
        generated = model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
            pad_token_id=tokenizer.pad_token_id,
        )
        for index, ids in zip(chosen, generated[:, inputs["input_ids"].shape[1] :], strict=True):
            texts[index] = tokenizer.decode(ids, skip_special_tokens=True).strip()
    return texts


def measure(
    model: Any, tokenizer: Any, task: str, rows: list[dict[str, Any]]
) -> tuple[float, list[tuple[str, str, str]]]:
    """The mean score in points, and (question, answer, reference) of what missed."""
    given = answers(model, tokenizer, rows, MAX_NEW_TOKENS.get(task, 32))
    points = [score(task, text, row["answers"]) for text, row in zip(given, rows, strict=True)]
    missed = [
        (row["messages"][-1]["content"], text, row["answers"][0])
        for point, text, row in zip(points, given, rows, strict=True)
        if point < (80 if task == "summary" else 100)
    ]
    return sum(points) / len(points), missed


def main() -> None:
    """Prints a table of the held-out scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL_DIR)
    parser.add_argument("--json", type=Path, help="also write the scores here")
    parser.add_argument("--misses", type=int, default=0, help="show this many wrong answers per task")
    options = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
    scores = {}
    print(f"{'task':<12}{'measure':<10}{'rows':>6}{'score':>8}")
    for task in heldout.TASKS:
        rows = heldout.rows(task)
        scores[task], missed = measure(model, tokenizer, task, rows)
        print(f"{task:<12}{'ROUGE-L' if task == 'summary' else 'EM':<10}{len(rows):>6}{scores[task]:>8.1f}", flush=True)
        for question, given, reference in missed[: options.misses]:
            print(f"    {question!r} -> {given!r}, expected {reference!r}")
    if options.json:
        options.json.write_text(json.dumps(scores, indent=2) + "\n")


if __name__ == "__main__":
    main()
