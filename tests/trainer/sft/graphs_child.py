"""Run by test_graphs.py in a process of its own: steps through `GraphedSteps` beside the trainer's own."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainer import environment

environment.settle(Path(tempfile.gettempdir()) / "tuneserve_graphs_test")

import torch  # noqa: E402
from unsloth import FastLanguageModel  # noqa: E402

from trainer.sft.graphs import GraphedSteps, cosine  # noqa: E402

ROWS = 3
LENGTHS = [(60, 50, 40), (70, 90, 5), (33, 80, 64), (100, 101, 10)]


def batch(lengths: tuple[int, ...], seed: int) -> dict[str, Any]:
    """Rows laid end to end as the collator gives them."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(300, 3000, (1, sum(lengths)), generator=generator)
    positions = torch.cat([torch.arange(n) for n in lengths])[None]
    labels = ids.clone()
    labels[positions < 3] = -100
    return {
        "input_ids": ids,
        "labels": labels,
        "position_ids": positions,
        "packed_seq_lengths": torch.tensor(lengths, dtype=torch.int32),
    }


def trained_tokens(inputs: dict[str, Any]) -> torch.Tensor:
    return (inputs["labels"] != -100).sum()


class Again:
    """A recorder that runs the work again."""

    def record(self, work: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor, torch.Tensor]:
        warm = work().clone()
        result = torch.zeros(())

        def replay() -> None:
            result.copy_(work())

        return replay, result, warm


class Stale(Again):
    """Replays what it has seen, whatever it is given later."""

    def record(self, work: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor, torch.Tensor]:
        _, result, warm = super().record(work)
        return lambda: None, result, warm


class Raises:
    """Cannot record."""

    def record(self, work: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor, torch.Tensor]:
        work()
        raise RuntimeError("operation not permitted when stream is capturing")


@contextmanager
def by_positions(model: Any, ends: torch.Tensor, longest: int) -> Iterator[None]:
    """On a CPU transformers finds the rows by their positions."""
    yield


class AsOneRow(Again):
    """Records a model that has lost the rows' boundaries."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def record(self, work: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor, torch.Tensor]:
        forward = self.model.forward

        def contaminated(position_ids: torch.Tensor, **rest: Any) -> Any:
            return forward(position_ids=torch.arange(position_ids.shape[1])[None], **rest)

        def wrong() -> torch.Tensor:
            self.model.forward = contaminated
            try:
                return work()
            finally:
                self.model.forward = forward

        return super().record(wrong)


def main(folder: str, out: str) -> None:
    model, _ = FastLanguageModel.from_pretrained(
        model_name=folder, max_seq_length=128, dtype=torch.float32, load_in_16bit=True, load_in_4bit=False,
        local_files_only=True,
    )  # fmt: skip
    model = FastLanguageModel.get_peft_model(
        model, r=8, lora_alpha=8, use_gradient_checkpointing=False, random_state=1,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    )  # fmt: skip
    trained = [p for p in model.parameters() if p.requires_grad]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02)

    def own(model: Any, inputs: Any, items: Any) -> torch.Tensor:
        model.train()
        for parameter in trained:
            parameter.grad = None
        rows = {name: inputs[name] for name in ("input_ids", "labels", "position_ids")}
        loss = model(**rows, num_items_in_batch=items).loss
        loss.backward()
        return loss.detach()

    def alike(inputs: dict[str, Any], graphs: GraphedSteps) -> dict[str, Any]:
        loss = graphs.training_step(model, dict(inputs), trained_tokens(inputs)).item()
        got = [p.grad.clone() for p in trained]
        own_loss = own(model, dict(inputs), trained_tokens(inputs)).item()
        return {
            "loss": loss,
            "own_loss": own_loss,
            "cosine": cosine(got, [p.grad for p in trained]),
            "replayed": graphs.replayed,
            "lengths": inputs["packed_seq_lengths"].tolist(),
        }

    graphs = GraphedSteps(own, model, ROWS, 101, Again(), by_positions)
    found: dict[str, Any] = {"steps": [alike(batch(n, i), graphs) for i, n in enumerate(LENGTHS)]}
    found["facts"] = graphs.facts()
    before = graphs.not_replayed
    short = alike(batch((90, 80), 9), graphs)
    found["short"] = {"replayed": short["replayed"], "own": graphs.not_replayed - before}
    for parameter in trained:
        parameter.grad = None
    model.eval()
    found["cleared_cosine"] = alike(batch((61, 51, 41), 10), graphs)["cosine"]
    found["training"] = model.training
    found["faults"] = {}
    faulty: dict[str, Any] = {"boundaries": AsOneRow(model), "stale": Stale(), "raises": Raises()}
    for name, recorder in faulty.items():
        graphs = GraphedSteps(own, model, ROWS, 101, recorder, by_positions)
        graphs.training_step(model, batch(LENGTHS[0], 0), trained_tokens(batch(LENGTHS[0], 0)))
        seen = alike(batch(LENGTHS[1], 1), graphs)
        replayed = graphs.replayed
        alike(batch(LENGTHS[2], 2), graphs)
        found["faults"][name] = {"off": graphs.off, "cosine": seen["cosine"], "replayed": replayed}
        found["faults"][name]["later_replayed"] = graphs.replayed
    Path(out).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
