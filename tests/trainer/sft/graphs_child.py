"""Run by the tests of graphs in a process of its own: steps through `GraphedSteps` beside the trainer's own.

`python tests/trainer/sft/graphs_child.py MODEL OUT [cuda [8bit|4bit] [own]]`
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from trainer import environment

environment.settle(Path(tempfile.gettempdir()) / "tuneserve_graphs_test")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from unsloth import FastLanguageModel  # noqa: E402

from configs.handover.prompt_logprobs import TOP  # noqa: E402
from trainer.data.selfmade import SoftRow  # noqa: E402
from trainer.plan.sizes import PassSize  # noqa: E402
from trainer.sft.first_batch import rows_of  # noqa: E402
from trainer.sft.fixed import Fixed  # noqa: E402
from trainer.sft.fp8_linear import Fp8Config  # noqa: E402
from trainer.sft.graphs import TRAINED, CudaRecorder, GraphedSteps, UnslothDecoder, cosine  # noqa: E402
from trainer.sft.own_lora import put_in_place  # noqa: E402
from trainer.sft.soft_targets import PROBABILITIES, TOP_IDS, BatchTargets, live_loss  # noqa: E402
from trainer.sft.unsloth import loaded_by  # noqa: E402

ROWS = 3
LENGTHS = [(60, 50, 40), (70, 90, 5), (33, 80, 64), (100, 101, 10), (30, 20, 10), (40, 9, 8)]
SIZES = (PassSize(128, 128), PassSize(256, 256))


DEVICE = "cuda" if "cuda" in sys.argv[3:] else "cpu"


def batch(lengths: tuple[int, ...], seed: int) -> dict[str, Any]:
    """Rows laid end to end as the collator gives them."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(300, 3000, (1, sum(lengths)), generator=generator)
    positions = torch.cat([torch.arange(n) for n in lengths])[None]
    labels = ids.clone()
    labels[positions < 3] = -100
    return {
        "input_ids": ids.to(DEVICE),
        "labels": labels.to(DEVICE),
        "position_ids": positions.to(DEVICE),
        "packed_seq_lengths": torch.tensor(lengths, dtype=torch.int32),
        TRAINED: int((labels != -100).sum()),
    }


def softened(inputs: dict[str, Any], seed: int) -> dict[str, Any]:
    """The same with soft targets for every other row."""
    host = {name: value.cpu() for name, value in inputs.items() if name != TRAINED}
    rows, draw = rows_of(host), np.random.default_rng(seed)
    known = [
        SoftRow(ids, draw.integers(300, 3000, (n, TOP), dtype=np.int32), draw.dirichlet([0.2] * TOP, n).astype("f4"))
        for ids, labels in rows[::2]
        if (n := int((labels[1:] != -100).sum()))
    ]
    return inputs | {name: value.to(DEVICE) for name, value in BatchTargets(known).of_batch(rows).items()}


def padded(inputs: dict[str, Any]) -> dict[str, Any]:
    """The same rows beside each other, filled up on the right."""
    rows, longest = rows_of({k: v for k, v in inputs.items() if k != TRAINED}), int(inputs["packed_seq_lengths"].max())
    fill = {"input_ids": 0, "labels": -100, "attention_mask": 0}
    each = [{"input_ids": ids, "labels": labels, "attention_mask": np.ones_like(ids)} for ids, labels in rows]
    stacked = {
        name: torch.tensor(np.stack([np.pad(r[name], (0, longest - len(r[name])), constant_values=v) for r in each]))
        for name, v in fill.items()
    }
    return stacked | {name: inputs[name] for name in (TOP_IDS, PROBABILITIES)}


def trained_tokens(inputs: dict[str, Any]) -> torch.Tensor:
    return (inputs["labels"] != -100).sum()


class Again:
    """A recorder that runs the work again."""

    def warm_up(self, work: Callable[[], torch.Tensor]) -> torch.Tensor:
        return work().clone()

    def record(self, work: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor]:
        result = torch.zeros((), device=DEVICE)

        def replay() -> None:
            result.copy_(work())

        return replay, result


class Stale(Again):
    """Replays what it has seen, whatever it is given later."""

    def record(self, work: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor]:
        return lambda: None, torch.zeros((), device=DEVICE)


class Raises(Again):
    """Cannot record."""

    def record(self, work: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor]:
        work()
        raise RuntimeError("operation not permitted when stream is capturing")


class Compiles(Raises):
    """Cannot record what has not run twice: for what the first run leaves something is compiled in the second."""

    def __init__(self) -> None:
        self.runs = 0

    def warm_up(self, work: Callable[[], torch.Tensor]) -> torch.Tensor:
        self.runs += 1
        return super().warm_up(work)

    def record(self, work: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor]:
        return Again.record(self, work) if self.runs >= 2 else super().record(work)


class ByPositions:
    """On a CPU transformers finds the rows by their positions."""

    def __call__(self, model: Any, fixed: Fixed) -> torch.Tensor:
        return model.get_base_model().model(input_ids=fixed.ids, position_ids=fixed.positions).last_hidden_state

    def apart(self, ends: torch.Tensor, longest: int) -> AbstractContextManager[None]:
        assert int(torch.diff(ends).max()) <= longest or not ends.any()
        return nullcontext()


class Told(ByPositions):
    """Fails where a row, what fills up included, is longer than the attention kernel of its recording was told."""

    def __init__(self) -> None:
        self.longest: dict[int, int] = {}

    def __call__(self, model: Any, fixed: Fixed) -> torch.Tensor:
        assert int(torch.diff(fixed.ends).max()) <= self.longest[fixed.ends.data_ptr()]
        return super().__call__(model, fixed)

    def apart(self, ends: torch.Tensor, longest: int) -> AbstractContextManager[None]:
        self.longest[ends.data_ptr()] = longest
        return super().apart(ends, longest)


class WithoutBoundaries(UnslothDecoder):
    """The same on a GPU, where the rows are told by their ends."""

    def apart(self, ends: torch.Tensor, longest: int) -> AbstractContextManager[None]:
        return super().apart(torch.stack([ends[0], ends[-1]]), int(ends[-1]) or 256)


class AsOneRow(ByPositions):
    """A model that has lost the rows' boundaries."""

    def __call__(self, model: Any, fixed: Fixed) -> torch.Tensor:
        positions = torch.arange(fixed.ids.shape[1])[None]
        return model.get_base_model().model(input_ids=fixed.ids, position_ids=positions).last_hidden_state


def main(folder: str, out: str, *how: str) -> None:
    on_gpu, eight, four = "cuda" in how, "8bit" in how, "4bit" in how
    fp8 = {"quantization_config": Fp8Config()} if eight else {}
    with loaded_by(**fp8) if eight else nullcontext():
        model, _ = FastLanguageModel.from_pretrained(
            model_name=folder, max_seq_length=128, dtype=torch.bfloat16 if on_gpu else torch.float32,
            load_in_16bit=not four and not eight, load_in_4bit=four, local_files_only=True, **fp8,
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
        assert TRAINED not in inputs
        rows = {name: inputs[name] for name in ("input_ids", "labels", "position_ids")}
        if on_gpu:
            rows["packed_seq_lengths"] = inputs["packed_seq_lengths"]
        with torch.autocast("cuda", torch.bfloat16, enabled=on_gpu):
            loss = model(**rows, num_items_in_batch=items).loss
        loss.backward()
        return loss.detach()

    def alike(inputs: dict[str, Any], graphs: GraphedSteps) -> dict[str, Any]:
        loss = graphs.training_step(model, dict(inputs), trained_tokens(inputs)).item()
        got = [p.grad.clone() for p in trained]
        plain = {name: value for name, value in inputs.items() if name != TRAINED}
        own_loss = own(model, plain, trained_tokens(inputs)).item()
        return {
            "loss": loss,
            "own_loss": own_loss,
            "cosine": cosine(got, [p.grad for p in trained]),
            "replayed": graphs.replayed,
            "lengths": inputs["packed_seq_lengths"].tolist(),
        }

    def softly(model: Any, inputs: Any, items: Any) -> torch.Tensor:
        """The trainer's own step on soft targets."""
        assert TRAINED not in inputs
        for parameter in trained:
            parameter.grad = None
        with torch.autocast("cuda", torch.bfloat16, enabled=on_gpu):
            loss = live_loss(model, inputs, items)
        loss.backward()
        return loss.detach()

    def dense(inputs: dict[str, Any], items: Any) -> torch.Tensor:
        """The same from the logits of all tokens and a probability for every token of the vocabulary."""
        names = ("input_ids", "attention_mask", "position_ids")
        for parameter in trained:
            parameter.grad = None
        logits = model(**{name: inputs[name] for name in names if name in inputs}).logits
        wanted = inputs["labels"].clone()
        wanted[:, 0] = -100
        if "position_ids" in inputs:
            wanted[inputs["position_ids"] == 0] = -100
        rows, places = (wanted != -100).nonzero(as_tuple=True)
        targets = torch.zeros(len(rows), logits.shape[-1]).scatter_add_(1, inputs[TOP_IDS], inputs[PROBABILITIES])
        loss = torch.nn.functional.cross_entropy(logits[rows, places - 1], targets, reduction="sum") / items
        loss.backward()
        return loss.detach()

    found: dict[str, Any] = {}
    if eight or "own" in how:
        inputs = batch(LENGTHS[0], 0)
        del inputs[TRAINED]
        library = (
            None if eight else (own(model, inputs, trained_tokens(inputs)).item(), [p.grad.clone() for p in trained])
        )
        found["in_place"] = dict(put_in_place(model, turned_copy=False))
        if library:
            loss = own(model, inputs, trained_tokens(inputs)).item()
            found["library"] = {"loss": [loss, library[0]], "cosine": cosine([p.grad for p in trained], library[1])}
    decoder = UnslothDecoder() if on_gpu else ByPositions()
    graphs = GraphedSteps(own, model, ROWS, 101, SIZES, CudaRecorder() if on_gpu else Again(), decoder)
    found["steps"] = [alike(batch(n, i), graphs) for i, n in enumerate(LENGTHS)]
    found["facts"] = graphs.figures("").model_dump()
    before = graphs.not_replayed
    short = alike(batch((90, 80), 9), graphs)
    found["short"] = {"replayed": short["replayed"], "own": graphs.not_replayed - before, "cosine": short["cosine"]}
    for parameter in trained:
        parameter.grad = None
    model.eval()
    found["cleared_cosine"] = alike(batch((61, 51, 41), 10), graphs)["cosine"]
    found["training"] = model.training
    found["faults"] = {}
    graphs.release()
    soft = GraphedSteps(softly, model, ROWS, 101, SIZES, CudaRecorder() if on_gpu else Again(), decoder)
    found["soft"] = []
    for number, lengths in enumerate(LENGTHS):
        inputs = softened(batch(lengths, number), number)
        items = trained_tokens(inputs)
        loss = soft.training_step(model, dict(inputs), items).item()
        got = [p.grad.clone() for p in trained]
        del inputs[TRAINED]
        own_loss, truth = softly(model, inputs, items).item(), [p.grad.clone() for p in trained]
        own(model, inputs, items)
        hard = cosine([p.grad for p in trained], truth)
        found["soft"].append({"loss": loss, "own_loss": own_loss, "cosine": cosine(got, truth), "hard": hard})
        if not on_gpu:
            for laid_out in (inputs, padded(inputs)):
                live, live_gradient = softly(model, laid_out, items).item(), [p.grad.clone() for p in trained]
                wanted = dense(laid_out, items).item()
                live_cosine = cosine(live_gradient, [p.grad for p in trained])
                found.setdefault("live", []).append({"loss": live, "wanted": wanted, "cosine": live_cosine})
    found["soft_passes"] = [soft.replayed, soft.not_replayed, soft.off]
    soft.release()
    compiling = GraphedSteps(own, model, ROWS, 101, SIZES, Compiles(), decoder)
    found["compiling"] = [alike(batch(LENGTHS[1], 1), compiling)["cosine"], compiling.off]
    compiling.release()
    if not on_gpu:
        found["unforeseen"] = unforeseen(own, model, alike)
    found["accumulated"] = accumulated(model, own, trained, CudaRecorder() if on_gpu else Again(), decoder)
    faulty = {
        "boundaries": (CudaRecorder(), WithoutBoundaries()) if on_gpu else (Again(), AsOneRow()),
        "stale": (Stale(), decoder),
        "raises": (Raises(), decoder),
    }
    for name, (recorder, decoder) in faulty.items():
        graphs = GraphedSteps(own, model, ROWS, 101, SIZES, recorder, decoder)
        seen = alike(batch(LENGTHS[1], 1), graphs)
        replayed = graphs.replayed
        alike(batch(LENGTHS[2], 2), graphs)
        found["faults"][name] = {"off": graphs.off, "cosine": seen["cosine"], "replayed": replayed}
        found["faults"][name]["later_replayed"] = graphs.replayed
    Path(out).write_text(json.dumps(found), encoding="utf-8")


def unforeseen(own: Any, model: Any, alike: Any) -> list[tuple[int, int, float]]:
    """Passes recorded and not, and the gradient's cosine, after each batch of those that no size was chosen for."""
    found = []
    # Few trained tokens in the largest; few tokens, most of them trained, which only larger sizes have the room for.
    for sizes in ((PassSize(128, 128), PassSize(256, 64)), (PassSize(128, 8), PassSize(384, 300), PassSize(512, 300))):
        graphs = GraphedSteps(own, model, ROWS, 101, sizes, Again(), Told())
        for number in (0, 5):
            seen = alike(batch(LENGTHS[number], number), graphs)
            found.append((graphs.replayed, graphs.not_replayed, seen["cosine"]))
    return found


def accumulated(model: Any, own: Any, trained: Any, recorder: Any, decoder: Any) -> list[float]:
    """Cosines of two optimizer steps of three passes each, one of which fits no recording, with the trainer's own."""
    passes = [(60, 50, 40), (30, 20, 10), (100, 100, 90), (70, 90, 5), (33, 80, 64), (40, 9, 8)]
    last = [False]
    graphs = GraphedSteps(own_adding(model, trained), model, ROWS, 101, SIZES, recorder, decoder, lambda: last[0])
    cosines = []
    for start in (0, 3):
        inputs = [batch(n, i) for i, n in enumerate(passes[start : start + 3], start)]
        items = sum(trained_tokens(b) for b in inputs)
        for parameter in trained:
            parameter.grad = None
        for number, each in enumerate(inputs):
            last[0] = number == 2
            graphs.training_step(model, dict(each), items)
        got = [p.grad.clone() for p in trained]
        truth = [torch.zeros_like(p) for p in trained]
        for each in inputs:
            own(model, {name: value for name, value in each.items() if name != TRAINED}, items)
            for total, parameter in zip(truth, trained, strict=True):
                total += parameter.grad
        ratio = sum(g.norm() for g in got) / sum(t.norm() for t in truth)
        cosines += [cosine(got, truth), float(ratio)]
    return [*cosines, graphs.replayed, graphs.not_replayed]


def own_adding(model: Any, trained: Any) -> Any:
    """The trainer's own step, which adds to the gradients that are there."""

    def step(model: Any, inputs: Any, items: Any) -> torch.Tensor:
        rows = {name: inputs[name] for name in ("input_ids", "labels", "position_ids")}
        if DEVICE == "cuda":
            rows["packed_seq_lengths"] = inputs["packed_seq_lengths"]
        with torch.autocast("cuda", torch.bfloat16, enabled=DEVICE == "cuda"):
            loss = model(**rows, num_items_in_batch=items).loss
        loss.backward()
        return loss.detach()

    return step


if __name__ == "__main__":
    main(*sys.argv[1:])
