"""Trains the small Qwen3 from scratch on the generated conversations, within a wall-clock budget.

    python -m scripts.demo_model.pretrain --minutes 8 --out DIR            # one GPU, 12 cores generating data
    python -m scripts.demo_model.pretrain --minutes 60 --out DIR --workers 2 --rows 32   # a CPU, much weaker

Data is generated while training runs: worker processes write packed shards, the trainer picks up every finished one.
Several trainers may share one shard folder (`--shards DIR`, `--workers 0` for those that only read).
"""

import argparse
import json
import math
import multiprocessing
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.demo_model import heldout, packing, shapes
from scripts.demo_model.muon import Muon
from scripts.demo_model.tokenizer import MODEL_DIR

SHARD_ROWS = 4096


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--minutes", type=float, required=True, help="wall-clock budget of training, compilation included"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for weights, config, tokenizer and scores.json")
    parser.add_argument("--shape", choices=list(shapes.SHAPES), default="deep")
    parser.add_argument("--start", type=Path, help="go on from the weights in this folder")
    parser.add_argument("--optimizer", choices=["muon", "adamw"], default="muon")
    parser.add_argument(
        "--lr", type=float, default=0.02, help="peak rate of the matrices (Muon) or of all weights (AdamW)"
    )
    parser.add_argument(
        "--prompt-weight", type=float, default=0.1, help="loss weight of prompt tokens; answers weigh up to 1"
    )
    parser.add_argument("--rows", type=int, default=176, help=f"rows of {packing.ROW_TOKENS} tokens per step")
    parser.add_argument("--shards", type=Path, help="shard folder; a temporary one by default")
    parser.add_argument("--shard-count", type=int, default=600)
    parser.add_argument("--shard-rows", type=int, default=SHARD_ROWS)
    parser.add_argument("--workers", type=int, default=12, help="data processes; 0 reads what others write")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--heldout-rows", type=int, default=heldout.SIZE)
    return parser.parse_args()


class ShardPool:
    """All shards written so far, kept on the device; every shard is used as often as the others."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.folder, self.device = folder, device
        self.loaded: dict[Path, Tensor] = {}
        self.uses: dict[Path, int] = {}
        self.waited_s = 0.0

    def refresh(self) -> None:
        """Loads at most four new shards; waits if there is none at all."""
        while True:
            new = [path for path in sorted(self.folder.glob("shard-?????.npy")) if path not in self.loaded][:4]
            for path in new:
                self.loaded[path] = torch.from_numpy(np.load(path).astype(np.int16)).to(self.device)
                self.uses[path] = 0
            if self.loaded:
                return
            time.sleep(0.5)
            self.waited_s += 0.5

    def batches(self, rows: int) -> Any:
        """Endless batches of shape (3, rows, ROW_TOKENS)."""
        while True:
            self.refresh()
            fewest = min(self.uses.values())
            path = random.choice([one for one, uses in self.uses.items() if uses == fewest])
            self.uses[path] += 1
            shard = self.loaded[path]
            for chosen in torch.randperm(shard.shape[1], device=self.device).split(rows):
                if len(chosen) == rows:
                    yield shard[:, chosen].long()


def loss_of(model: Any, batch: Tensor, prompt_weight: float) -> Tensor:
    """Weighted next-token loss of packed rows; a conversation sees only itself and starts at position 0."""
    ids, weight, document = batch
    rows, length = ids.shape
    same = document[:, :, None] == document[:, None, :]
    causal = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
    steps = torch.arange(length, device=ids.device)
    begins = torch.cat([torch.ones_like(document[:, :1], dtype=torch.bool), document[:, 1:] != document[:, :-1]], dim=1)
    positions = steps - torch.where(begins, steps, 0).cummax(dim=1).values
    hidden = model.model(
        input_ids=ids, attention_mask=(same & causal)[:, None], position_ids=positions, use_cache=False
    ).last_hidden_state
    logits = model.lm_head(hidden[:, :-1]).float()
    losses = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(rows, length - 1)
    kept = (document[:, 1:] == document[:, :-1]) & (document[:, 1:] != packing.PADDING)
    weights = torch.where(weight[:, 1:] > 0, weight[:, 1:] / 255, prompt_weight) * kept
    return (losses * weights).sum() / weights.sum()


def optimizers(model: Any, kind: str, lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers and AdamW for the rest, or AdamW for all."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    fused = next(model.parameters()).is_cuda
    if kind == "adamw":
        return [torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=0.02, fused=fused)]
    inside = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in inside]
    adam = torch.optim.AdamW(others, lr=0.15 * lr, betas=(0.9, 0.98), weight_decay=0.0, fused=fused)
    return [Muon(matrices, lr=lr, weight_decay=0.02), adam]


def rate(progress: float) -> float:
    """The factor of the learning rate at a share of the time budget: short warm-up, then a cosine to one hundredth."""
    return min(1.0, progress / 0.02) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def save(model: Any, tokenizer: Any, out: Path) -> None:
    """Weights in bf16, config, generation config and tokenizer, as vLLM and transformers read them."""
    from transformers import GenerationConfig

    copy = type(model)(model.config).to(torch.bfloat16)
    copy.load_state_dict({name: value.to(torch.bfloat16) for name, value in model.state_dict().items()})
    copy.generation_config = GenerationConfig(
        bos_token_id=model.config.bos_token_id,
        pad_token_id=model.config.pad_token_id,
        do_sample=True,
        eos_token_id=[model.config.eos_token_id, model.config.pad_token_id],
        temperature=0.6,
        top_k=20,
        top_p=0.95,
    )
    copy.save_pretrained(out)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (out / name).write_bytes((MODEL_DIR / name).read_bytes())


def train(options: argparse.Namespace, shards: Path, device: torch.device) -> tuple[Any, Any, dict[str, float]]:
    """The training loop; returns (model, tokenizer, figures)."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3ForCausalLM

    began = time.monotonic()
    tokenizer = AutoTokenizer.from_pretrained(MODEL_DIR)
    torch.manual_seed(1)
    random.seed(1)
    if options.start:
        model: Any = AutoModelForCausalLM.from_pretrained(options.start, dtype=torch.float32)
    else:
        model = Qwen3ForCausalLM(shapes.config(options.shape, tokenizer)).float()
    model.to(device).train()
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters on {device}", flush=True)
    steppers = optimizers(model, options.optimizer, options.lr)
    peaks = [group["lr"] for one in steppers for group in one.param_groups]
    step_loss = loss_of if options.no_compile else torch.compile(loss_of, dynamic=False)
    pool = ShardPool(shards, device)
    budget_s, step, running = options.minutes * 60, 0, torch.zeros((), device=device)
    saved = time.monotonic()
    for batch in pool.batches(options.rows):
        progress = (time.monotonic() - began) / budget_s
        if progress >= 1:
            break
        for group, peak in zip((group for one in steppers for group in one.param_groups), peaks, strict=True):
            group["lr"] = peak * rate(progress)
        with torch.autocast(device.type, torch.bfloat16):
            loss = step_loss(model, batch, options.prompt_weight)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for one in steppers:
            one.step()
            one.zero_grad(set_to_none=True)
        running += loss.detach()
        step += 1
        if step % 100 == 0:
            spent = time.monotonic() - began
            tokens = step * options.rows * packing.ROW_TOKENS
            print(
                f"step {step} loss {running.item() / 100:.4f} {spent:.0f}s {tokens / 1e6:.0f}M tokens "
                f"{tokens / spent / 1e6:.2f}M/s "
                f"{len(pool.loaded)} shards used {max(pool.uses.values())}x",
                flush=True,
            )
            running.zero_()
        if time.monotonic() - saved > 120:
            save(model, tokenizer, options.out)
            saved = time.monotonic()
    tokens = step * options.rows * packing.ROW_TOKENS
    return model, tokenizer, {"steps": step, "tokens": tokens, "seconds": round(time.monotonic() - began, 1)}


def main() -> None:
    """Starts the data processes, trains, saves, and scores the result on the held-out suite."""
    options = arguments()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_float32_matmul_precision("high")
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        shards = options.shards or Path(temporary)
        shards.mkdir(parents=True, exist_ok=True)
        workers = multiprocessing.get_context("spawn").Pool(options.workers) if options.workers else None
        if workers:
            for index in range(options.shard_count):
                workers.apply_async(packing.write_shard, (str(shards), str(MODEL_DIR), index, options.shard_rows))
        try:
            model, tokenizer, figures = train(options, shards, device)
        finally:
            if workers:
                workers.terminate()
    save(model, tokenizer, options.out)
    report(options, figures, device)


def report(options: argparse.Namespace, figures: dict[str, float], device: torch.device) -> None:
    """Scores the saved bf16 weights and writes scores.json."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from scripts.demo_model.check import measure

    tokenizer = AutoTokenizer.from_pretrained(options.out)
    model = AutoModelForCausalLM.from_pretrained(options.out, dtype=torch.float32).to(device).eval()
    scores, misses = {}, {}
    for task in heldout.TASKS:
        scores[task], missed = measure(model, tokenizer, task, heldout.rows(task, options.heldout_rows))
        misses[task] = missed[:12]
    print(json.dumps({**figures, **scores}), flush=True)
    settings = {name: str(value) for name, value in vars(options).items()}
    written = {"settings": settings, **figures, "scores": scores, "misses": misses}
    (options.out / "scores.json").write_text(json.dumps(written, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
