"""Run by the tests of several processes: the first steps of a training, by one process and by two, live and recorded.

`torchrun --nproc-per-node 2 tests/trainer/sft/together_child.py MODEL OUT`

The trainer beneath TRL's, on transformers' own model: TRL's loss needs a GPU. As in the tests of graphs, the recording
is replaced by running the work again, and the GPU's attention by transformers', which finds the rows by positions.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from trainer.gpus.started import HIDDEN
from trainer.gpus.world import World, join

world = join()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from datasets import Dataset  # noqa: E402
from peft import LoraConfig, get_peft_model  # noqa: E402
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments  # noqa: E402
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling  # noqa: E402

from configs.handover.prompt_logprobs import TOP  # noqa: E402
from configs.machine.gpus import GPUS  # noqa: E402
from configs.recipe.schema import LoraConfig as Adapter  # noqa: E402
from configs.recipe.schema import TrainConfig  # noqa: E402
from trainer.data.selfmade import SoftRow  # noqa: E402
from trainer.plan.layout import make_plan  # noqa: E402
from trainer.plan.sizes import PassSize  # noqa: E402
from trainer.sft.first_batch import rows_of  # noqa: E402
from trainer.sft.fixed import Fixed  # noqa: E402
from trainer.sft.graphs import TRAINED, GraphedSteps  # noqa: E402
from trainer.sft.soft_targets import BatchTargets  # noqa: E402
from trainer.sft.together import TOKENS, Together  # noqa: E402
from trainer.sft.unsloth import watch_batches  # noqa: E402

ROWS, STEP = 15, 7
"""Two steps of seven rows, and one of a single row."""


class Again:
    """A recorder that runs the work again."""

    def warm_up(self, work: Callable[[], torch.Tensor]) -> torch.Tensor:
        return work().clone()

    def record(self, work: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor]:
        result = torch.zeros(())

        def replay() -> None:
            result.copy_(work())

        return replay, result


class ByPositions:
    """On a CPU transformers finds the rows by their positions."""

    def __call__(self, model: Any, fixed: Fixed) -> torch.Tensor:
        return model.get_base_model().model(input_ids=fixed.ids, position_ids=fixed.positions).last_hidden_state

    def apart(self, ends: torch.Tensor, longest: int) -> AbstractContextManager[None]:
        return nullcontext()


def rows() -> Dataset:
    draw = random.Random(3)
    ids = [[draw.randrange(300, 3000) for _ in range(draw.randint(8, 60))] for _ in range(ROWS)]
    labels = [[-100] * 4 + row[4:] for row in ids]
    return Dataset.from_dict({"input_ids": ids, "labels": labels, "length": [len(row) for row in ids]})


def soft_targets(data: Dataset) -> BatchTargets:
    """Likely tokens for every other row."""
    draw, known = np.random.default_rng(3), []
    for ids in data["input_ids"][::2]:
        shape = (len(ids) - 4, TOP)
        likely = draw.dirichlet([0.2] * TOP, shape[0]).astype("f4")
        known.append(SoftRow(np.array(ids, np.int32), draw.integers(300, 3000, shape, dtype=np.int32), likely))
    return BatchTargets(known)


def train(
    folder: str, world: World | None, *, padding_free: bool, recorded: bool = False, soft: bool = False
) -> dict[str, Any]:
    """Loss and gradient of every step, before clipping and as they are logged."""
    data, processes = rows(), world.size if world else 1
    config = TrainConfig(plan="manual", micro_batch=2, rows_per_step=STEP, num_gpus=processes)
    plan = make_plan(config, Adapter(), data["length"], GPUS["h100-80gb"], gpus=processes)
    plan = plan.model_copy(update={"padding_free": padding_free, "dtype": "float32"})
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    model = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            tempfile.mkdtemp(), per_device_train_batch_size=plan.micro_batch, learning_rate=1e-2, num_train_epochs=1,
            gradient_accumulation_steps=plan.accumulation, use_cpu=True, logging_steps=1, save_strategy="no",
            report_to="none", disable_tqdm=True, seed=5, data_seed=5, max_grad_norm=0.1, lr_scheduler_type="constant",
        ),
        data_collator=DataCollatorForLanguageModeling(pad_token_id=0, padding_free=padding_free),
        train_dataset=data,
    )  # fmt: skip
    targets = soft_targets(data) if soft else None
    if targets:
        targets.put_in_place(trainer)
    together = Together(world, trainer, plan, data["length"], 0.1) if world else None
    graphs = None
    if recorded:
        sizes = (PassSize(128, 128), PassSize(256, 256))
        graphs = GraphedSteps(
            trainer.training_step, model, plan.micro_batch, 60, sizes, Again(), ByPositions(),
            is_last=lambda: trainer.accelerator.sync_gradients,
        )  # fmt: skip
        trainer.training_step = graphs.training_step
    if together:
        together.begin(graphs)

    def look(batch: dict[str, Any]) -> None:
        found = rows_of(batch)
        if targets:
            batch |= targets.of_batch(found)
        if together:
            batch[TOKENS] = sum(len(ids) for ids, _ in found)
        if recorded:
            batch[TRAINED] = sum(int((labels[1:] != -100).sum()) for _, labels in found)
            # As Unsloth's collator does.
            batch["packed_seq_lengths"] = torch.tensor([len(ids) for ids, _ in found], dtype=torch.int32)

    watch_batches(trainer, look)
    gradients, own = [], trainer._clip_grad_norm

    def clip(model: Any) -> Any:
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad]))
        return own(model)

    trainer._clip_grad_norm = clip
    trainer.train()
    if together:
        together.require_alike("ends")
    steps = [line for line in trainer.state.log_history if "loss" in line]
    return {
        "losses": [line["loss"] for line in steps],
        "norms": [line["grad_norm"] for line in steps],
        "gradients": gradients,
        "adapter": torch.cat([p.detach().flatten() for p in model.parameters() if p.requires_grad]),
        "tokens": together.tokens_since() if together else sum(data["length"]),
        "processes": trainer.accelerator.num_processes,
        "passes": [graphs.replayed, graphs.not_replayed] if graphs else None,
    }


def main(folder: str, out: str) -> None:
    alone, alone_soft = (train(folder, None, padding_free=False, soft=soft) for soft in (False, True))
    ways = {
        "padded": train(folder, world, padding_free=False),
        "live": train(folder, world, padding_free=True),
        "recorded": train(folder, world, padding_free=True, recorded=True),
        "soft": train(folder, world, padding_free=True, soft=True),
        "soft recorded": train(folder, world, padding_free=True, recorded=True, soft=True),
    }
    found: dict[str, Any] = {}
    for name, way in ways.items():
        one = alone_soft if "soft" in name else alone
        pairs = list(zip(way["gradients"], one["gradients"], strict=True))
        found[name] = {
            "losses": way["losses"],
            "norms": way["norms"],
            "one": {"losses": one["losses"], "norms": one["norms"], "tokens": one["tokens"]},
            "cosines": [_cosine(a, b) for a, b in pairs],
            "lengths": [float(a.norm() / b.norm()) for a, b in pairs],
            "adapter_cosine": _cosine(way["adapter"], one["adapter"]),
            "tokens": way["tokens"],
            "processes": way["processes"],
            "passes": world.gather(way["passes"]),
        }
    found["seen"] = [name for name in HIDDEN if name in os.environ]
    found["default_group"] = torch.distributed.is_initialized()
    if world.rank == 0:
        Path(out).write_text(json.dumps(found), encoding="utf-8")
    world.gather("done")


def _cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=0))


if __name__ == "__main__":
    main(*sys.argv[1:])
