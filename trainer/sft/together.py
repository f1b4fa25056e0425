"""One of several processes that train the same adapter: its part of the rows, and one sum of gradients a step.

Every process has the whole model and, for its part of a step's rows, computes the gradient of the loss divided by the
trained tokens of the whole step. Their sum is the gradient that one process would have had, whichever passes came from
recordings. It is added up once a step, in one piece, after the last pass and before clipping; then every process makes
the same update.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from configs.errors import TuneserveError
from configs.handover.training import Plan
from trainer.gpus.dealing import DealtBatches
from trainer.gpus.world import World
from trainer.sft.graphs import GraphedSteps, Step
from trainer.sft.unsloth import NO_ROWS, clip_by, evaluate_by, passes_by, save_by, step_by
from trainer.sft.update import clip

TOKENS = "tokens"
"""Key of a batch for the number of its tokens, padding left out."""


class Together:
    """Makes a trainer one of several.

    Args:
        world: the processes.
        trainer: TRL's, not yet training.
        plan: the layout.
        lengths: tokens of every training row.
        max_norm: the gradient is scaled down to this norm; 0 leaves it as it is.
    """

    def __init__(self, world: World, trainer: Any, plan: Plan, lengths: Sequence[int], max_norm: float) -> None:
        self._world, self._trainer, self._plan, self._lengths = world, trainer, plan, lengths
        self._max_norm = max_norm
        self._trained = [p for p in trainer.model.parameters() if p.requires_grad]
        self._one_kind = all(p.dtype == torch.float32 for p in self._trained)
        self._flat = torch.empty(0)
        self._graphs: GraphedSteps | None = None
        self._loss = torch.zeros((), device=trainer.args.device)
        self._tokens = torch.zeros((), dtype=torch.long, device=trainer.args.device)
        passes_by(trainer, self.batches)
        save_by(trainer, self._save)
        evaluate_by(trainer, self._evaluated)
        clip_by(trainer, self._clip)
        if world.rank:
            trainer.args.save_total_limit = None  # rank 0 saves and removes

    def batches(self, sampler: Any) -> DealtBatches:
        """The batches of this process, from the order of an epoch's rows."""
        plan = self._plan
        return DealtBatches(
            sampler, self._lengths, self._world.rank, self._world.size, plan.rows_per_step, plan.accumulation,
            plan.micro_batch, padded=not plan.padding_free,
        )  # fmt: skip

    def begin(self, graphs: GraphedSteps | None) -> None:
        """Takes over the trainer's passes, those that are recorded among them, once those are in place."""
        self._graphs = graphs
        step_by(self._trainer, self._count, self._step)
        self.require_alike("begins")

    def part(self, rows: int, batch: int) -> list[int]:
        """The held-out rows that this process scores: whole batches, so that the mean is that of one process."""
        batches = [list(range(at, min(at + batch, rows))) for at in range(0, rows, batch)]
        mine = batches[self._world.rank :: self._world.size] if len(batches) >= self._world.size else batches
        return [row for each in mine for row in each]

    def tokens_since(self) -> int:
        """Tokens that went through the models of all processes since this was asked last."""
        found = int(self._tokens)
        self._tokens.zero_()
        return found

    def require_alike(self, when: str) -> None:
        """Raises a TuneserveError where the processes do not hold the same adapter.

        Args:
            when: `begins` or `ends`, for the message.
        """
        digest = hashlib.sha256()
        for parameter in self._trained:
            digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        found = self._world.gather(digest.hexdigest())
        if len(set(found)) > 1:
            odd = [str(rank) for rank, each in enumerate(found) if each != found[0]]
            raise TuneserveError(
                f"training on {self._world.size} GPUs {when} with different adapters: {', '.join(odd)} differ from 0",
                "run it again with train.cuda_graphs=off; should that help, please report it with logs/ of the run",
            )

    def _count(self, batches: list[dict[str, Any]], items: Any) -> torch.Tensor:
        """The trained tokens of the step, on all processes."""
        if items is None:
            raise TuneserveError("the trainer does not count the trained tokens of a step", "set train.num_gpus=1")
        tokens = sum(batch.pop(TOKENS, 0) for batch in batches)
        device = self._loss.device
        counted = torch.stack([torch.as_tensor(items, device=device).long(), torch.tensor(tokens, device=device)])
        items, tokens = self._world.add_up(counted)
        self._tokens += tokens
        return items

    def _step(
        self, own: Step, model: torch.nn.Module, inputs: Mapping[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """One pass; the last of a step adds up what all have, and returns what is left of the step's loss."""
        if NO_ROWS in inputs:
            if self._graphs:
                self._graphs.no_rows()
            loss = torch.zeros_like(self._loss)
        else:
            loss = own(model, inputs, num_items_in_batch)
        self._loss += loss
        if not self._trainer.accelerator.sync_gradients:
            return loss
        self._exchange()
        mine = self._loss.clone()
        loss = loss + self._world.add_up(self._loss) - mine
        self._loss = torch.zeros_like(self._loss)
        return loss

    def _exchange(self) -> None:
        """Adds up the gradients, in one flat tensor whose parts are then the parameters' gradients."""
        graphs = self._graphs
        if graphs is not None and graphs.gradient.numel():
            self._flat = graphs.gradient
            self._world.add_up(self._flat)
            return
        if not self._flat.numel():
            self._flat = torch.zeros(sum(p.numel() for p in self._trained), device=self._loss.device)
        for parameter, part in zip(self._trained, self._parts(), strict=True):
            if parameter.grad is None:
                part.zero_()
            elif parameter.grad.data_ptr() != part.data_ptr():
                part.copy_(parameter.grad)
        self._world.add_up(self._flat)
        for parameter, part in zip(self._trained, self._parts(), strict=True):
            parameter.grad = part.to(parameter.dtype)

    def _parts(self) -> list[torch.Tensor]:
        parts = self._flat.split([p.numel() for p in self._trained])
        return [part.view_as(p) for part, p in zip(parts, self._trained, strict=True)]

    def _clip(self, own: Callable[[], Any]) -> Any:
        """The norm of the sum, the same bits in every process however its own part came about."""
        # Under fp16 the trainer takes the scale off the gradients first.
        return clip(self._flat, self._max_norm) if self._plan.dtype != "float16" and self._one_kind else own()

    def _save(self, own: Callable[[], None]) -> None:
        """Rank 0 saves; the others wait until it has, and know the best checkpoint as it does."""
        state = self._trainer.state
        if self._world.rank == 0:
            own()
        state.best_model_checkpoint = self._world.share(state.best_model_checkpoint)

    def _evaluated(self, loss: float, tokens: int) -> float:
        """The loss of a trained token over the rows of all processes."""
        parts = self._world.gather([loss, tokens])
        return sum(part for part, _ in parts) / max(1, sum(count for _, count in parts))
