"""One training run through Unsloth and TRL's SFTTrainer, on rows that are already tokenized and masked."""

from __future__ import annotations

from trainer.sft.model import load, what_unsloth_did  # isort: skip - imports unsloth, which must come first

import math
import random
import time
from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, disable_progress_bars
from transformers import EarlyStoppingCallback, PrinterCallback, ProgressCallback, TrainerState
from trl import SFTConfig, SFTTrainer

from configs.disk.files import sync_folder
from configs.handover.base import write_rows
from configs.handover.rows import ProofRow
from configs.handover.training import LoopFigures, Plan, PreparedFacts, RecordedFigures
from configs.recipe.schema import RunConfig
from configs.run.adapter_scale import possible_scales
from configs.run.rundir import RunDir
from configs.terminal.console import console, note
from trainer.data.answers import chosen_answers
from trainer.data.selfmade import has_soft_targets, soft_rows
from trainer.data.template import IGNORED
from trainer.export.adapter_names import name_as_base
from trainer.export.new_folder import new_folder
from trainer.gpus.world import World
from trainer.plan.sizes import RECORDING_COST, PassSize, choose_sizes
from trainer.sft.best import BestCheckpoint
from trainer.sft.checkpoints import reading
from trainer.sft.device import peak_gb
from trainer.sft.ended import Ended
from trainer.sft.first_batch import check_first_batch, expected_answers, rows_of
from trainer.sft.graphs import TRAINED, CudaRecorder, GraphedSteps, UnslothDecoder
from trainer.sft.order import OrderOfEpoch
from trainer.sft.progress import RunLog, plot_loss
from trainer.sft.proof_rows import answer_logprobs, scored_rows
from trainer.sft.soft_targets import BatchTargets
from trainer.sft.together import TOKENS, Together
from trainer.sft.unsloth import evaluate_by, order_of_rows, read_by, sync_by, vouch_for_length, watch_batches
from trainer.sft.update import RecordableAdamW, RecordedUpdate, optimizer_arguments

RECORDED_OPTIMIZER = "adamw_torch_fused"
"""The optimizer whose updates are recorded beside the steps; it is what `auto` takes on a GPU."""
EVAL_ROWS = 500
"""At most this many held-out rows are scored at each evaluation during training."""


class TrainingRun:
    """Everything of one run that lives in memory, from the loaded base to the saved adapter."""

    def __init__(
        self,
        run: RunDir,
        config: RunConfig,
        plan: Plan,
        facts: PreparedFacts,
        train: pa.Table,
        heldout: pa.Table,
        world: World | None = None,
    ) -> None:
        disable_progress_bars()
        self.world = world
        self.run, self.config, self.plan = run, config, plan
        self.base, self.end_token_id = facts.base_model, facts.end_token_id
        self.full = config.train.method == "full"
        self.expected = expected_answers(train.select(["input_ids", "said"]).to_pylist())
        self.proof = chosen_answers(
            (heldout if heldout.num_rows else train).to_pylist(), config.proof.rows, config.seed
        )
        self.model, self.tokenizer = load(config, facts.base_model, facts.longest_row, plan)
        # Under full fine-tuning the base is gone once training starts.
        self.base_scores = answer_logprobs(self.model, self.proof) if self.full else None
        self.log = RunLog(run.logs / "train.jsonl", console)
        evaluated = _rows(self._evaluated(heldout), facts.longest_row) if heldout.num_rows else None
        self.trainer = self._trainer(_rows(train, facts.longest_row), evaluated)
        self.soft = BatchTargets(soft_rows(run)) if has_soft_targets(run, config) else None
        if self.soft:
            self.soft.put_in_place(self.trainer)
        self.together = self._together(train)
        self.did = what_unsloth_did(self.model, self.trainer)
        self.update: RecordedUpdate | None = None
        self.graphs = self._graphs(train, facts.longest_row) if plan.graphs and self.did.padding_free else None
        if self.together:
            self.together.begin(self.graphs)
        self.checked: list[tuple[str, str]] = []
        watch_batches(self.trainer, self._look_at_batch)

    def go(self, checkpoint: Path | None) -> LoopFigures:
        """Trains, saves adapter and likelihoods, draws the loss; returns the stage's figures."""
        started = time.monotonic()
        if self.plan.group_by_length:
            OrderOfEpoch(self.trainer, checkpoint)
        if checkpoint:
            reading(checkpoint, lambda: TrainerState.load_from_json(str(checkpoint / "trainer_state.json")))
            read_by(self.trainer, lambda read: reading(checkpoint, read))
        try:
            self.trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        finally:
            self.log.close()
        seconds = self.log.seconds_before + time.monotonic() - started
        if self.graphs:
            # Scoring the proof rows needs the room.
            self.graphs.release()
        if self.together:
            self.together.require_alike("ends")
        if self._writes:
            self._save()
        self._write_proof()
        if self._writes:
            plot_loss(self.run.logs / "train.jsonl", self.run.report / "loss.png")
        history, best = self.trainer.state.log_history, self.trainer.state.best_metric
        evaluated = [line["eval_loss"] for line in history if "eval_loss" in line]
        return LoopFigures(
            steps=self.trainer.state.global_step,
            loss=fmean(line["loss"] for line in history if "loss" in line),
            heldout_loss=best if best is not None else evaluated[-1] if evaluated else None,
            best_heldout_loss=best,
            train_seconds=round(seconds, 2),
            tokens_per_s=round(self.log.tokens / seconds, 1),
            peak_gb=round(max(self.log.peak_gb_before, *self._of_all(peak_gb())), 3),
            first_batch_rows_checked=len(self.checked),
            recorded=self.recorded(),
            soft_rows=len(self.soft or ()),
        )

    def recorded(self) -> RecordedFigures | None:
        """What came from recordings; None where nothing was to be recorded."""
        if self.graphs is None:
            return None
        return self.graphs.figures(self.update.off if self.update else "")

    @property
    def _writes(self) -> bool:
        """Whether this process writes, logs and shows."""
        return self.world is None or self.world.rank == 0

    def _of_all(self, value: Any) -> list[Any]:
        """What every process has, by rank."""
        return self.world.gather(value) if self.world else [value]

    def _evaluated(self, heldout: pa.Table) -> pa.Table:
        """The held-out rows that are scored while it trains; of a file in any order a fair sample."""
        if (rows := heldout.num_rows) <= EVAL_ROWS:
            return heldout
        if self._writes:
            note(f"the held-out loss is that of {EVAL_ROWS} of the {rows:,} held-out rows, drawn by the seed")
        return heldout.take(sorted(random.Random(f"{self.config.seed} evaluated").sample(range(rows), EVAL_ROWS)))

    def _together(self, train: pa.Table) -> Together | None:
        """Makes the trainer one of several where it is; the rows to score while it trains are dealt out, too."""
        if self.world is None:
            evaluate_by(self.trainer)
            return None
        lengths, max_norm = train["length"].to_pylist(), self.config.train.max_grad_norm
        together = Together(self.world, self.trainer, self.plan, lengths, max_norm)
        if (heldout := self.trainer.eval_dataset) is not None:
            part = together.part(len(heldout), self.trainer.args.per_device_eval_batch_size)
            self.trainer.eval_dataset = heldout.select(part)
        self.log.count_tokens = together.tokens_since
        return together

    def _trainer(self, train: Dataset, heldout: Dataset | None) -> SFTTrainer:
        config = self.config.train
        callbacks: list[Any] = [self.log] if self._writes else []
        if config.early_stopping:
            callbacks.append(EarlyStoppingCallback(early_stopping_patience=config.early_stopping))
        trainer = SFTTrainer(
            model=self.model,
            processing_class=self.tokenizer,
            args=training_arguments(
                self.run, self.config, self.plan, evaluates=heldout is not None, reports=self._writes
            ),
            train_dataset=train,
            eval_dataset=heldout,
            callbacks=callbacks,
            **self._recordable_optimizer(),
        )
        for theirs in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(theirs)
        trainer.add_callback(Ended(trainer))
        trainer.add_callback(BestCheckpoint(trainer, says=self._writes))
        trainer.create_model_card = lambda **_: None  # the run has its own
        sync_by(trainer, sync_folder)  # a checkpoint is whole after a power cut, too, or is not taken for complete
        return trainer

    def _recordable_optimizer(self) -> dict[str, Any]:
        """The optimizer whose updates can be recorded, where steps are."""
        if not self.plan.graphs or self.plan.optimizer != RECORDED_OPTIMIZER:
            return {}
        arguments = optimizer_arguments(self.plan.learning_rate, self.model.device)
        return {"optimizer_cls_and_kwargs": (RecordableAdamW, arguments)}

    def _graphs(self, train: pa.Table, longest: int) -> GraphedSteps | None:
        """Puts recorded steps in the place of the trainer's own; None where so few steps do not pay for it."""
        # A recording is made by every process, one after the other, while the others wait.
        ranks = self.world.size if self.world else 1
        sizes = choose_sizes(Counter(passes_of(self.trainer, train, ranks)), RECORDING_COST * ranks)
        if not sizes:
            return None
        own, recorder = self.trainer.training_step, CudaRecorder()
        graphs = GraphedSteps(
            own, self.model, self.plan.micro_batch, longest, sizes, recorder, UnslothDecoder(),
            is_last=lambda: self.trainer.accelerator.sync_gradients,
        )  # fmt: skip
        self.trainer.training_step = graphs.training_step
        if self.plan.optimizer == RECORDED_OPTIMIZER:
            self.update = RecordedUpdate(self.trainer, graphs, self.config.train.max_grad_norm, recorder)
        return graphs

    def _look_at_batch(self, batch: dict[str, Any]) -> None:
        """Checks the first batch that the collator gives in training, and counts the tokens of all."""
        rows = rows_of(batch)
        if not self.checked:
            self.checked = check_first_batch(batch, self.expected, self._decode, self.end_token_id)
        tokens = sum(len(ids) for ids, _ in rows)
        if self.together:
            batch[TOKENS] = tokens
        else:
            self.log.tokens += tokens
        if self.graphs:
            batch[TRAINED] = sum(int((labels[1:] != IGNORED).sum()) for _, labels in rows)
        if self.soft:
            batch |= self.soft.of_batch(rows)

    def _decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    def _save(self) -> None:
        """Replaces RUN/adapter as a whole: files of another method, left there, would be merged in its place."""
        trained = sum(p.numel() * p.element_size() for p in self.model.parameters() if p.requires_grad)
        with new_folder(self.run.adapter, trained, redo=True) as partial:
            self.model.save_pretrained(str(partial))
            if not self.full:
                name_as_base(partial, self.base)

    def _write_proof(self) -> None:
        """Scores the proof rows, of several processes each its part, and writes them."""
        mine = self.proof[self.world.rank :: self.world.size] if self.world else self.proof
        scored = scored_rows(self.model, mine, possible_scales(self.config), self.base_scores)
        parts = self._of_all([row.model_dump(mode="json") for row in scored])
        if self._writes:
            in_order = [parts[i % len(parts)][i // len(parts)] for i in range(len(self.proof))]
            write_rows(self.run.data / "proof.jsonl", map(ProofRow.model_validate, in_order))


def training_arguments(
    run: RunDir, config: RunConfig, plan: Plan, *, evaluates: bool, reports: bool = True
) -> SFTConfig:
    """The recipe as arguments of TRL's trainer.

    Args:
        run: where checkpoints go.
        config: the recipe.
        plan: the layout.
        evaluates: whether there are held-out rows.
        reports: whether this process tells the trackers.
    """
    train = config.train
    best = (train.keep_best or train.early_stopping > 0) and evaluates
    eval_steps = (train.eval_steps or (0.25 if best else 0)) if evaluates else 0
    save_steps = eval_steps if best else train.save_steps
    on_cpu = plan.dtype == "float32"
    return SFTConfig(
        output_dir=str(run.checkpoints),
        per_device_train_batch_size=plan.micro_batch,
        per_device_eval_batch_size=max(1, min(plan.micro_batch, 8)),
        gradient_accumulation_steps=plan.accumulation,
        num_train_epochs=train.epochs,
        max_steps=train.max_steps or -1,
        learning_rate=plan.learning_rate,
        lr_scheduler_type=train.scheduler,
        lr_scheduler_kwargs={"min_lr_rate": 0.1} if train.scheduler == "cosine_with_min_lr" else {},
        warmup_steps=train.warmup_ratio,
        weight_decay=train.weight_decay,
        max_grad_norm=train.max_grad_norm,
        optim=plan.optimizer,
        neftune_noise_alpha=train.neftune_noise_alpha or None,
        bf16=plan.dtype == "bfloat16",
        fp16=plan.dtype == "float16",
        use_cpu=on_cpu,
        gradient_checkpointing=plan.checkpointing != "off",
        padding_free=plan.padding_free,
        packing=False,
        # The rows are as long as they are meant to be; TRL would cut them.
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        train_sampling_strategy="group_by_length" if plan.group_by_length else "random",
        length_column_name="length",
        eval_strategy="steps" if eval_steps else "no",
        eval_steps=eval_steps or None,
        prediction_loss_only=True,
        save_strategy="steps" if save_steps else "no",
        save_steps=save_steps or 500,
        save_total_limit=train.save_total_limit,
        load_best_model_at_end=best,
        metric_for_best_model="eval_loss" if best else None,
        greater_is_better=False if best else None,
        # Evaluations without a better loss are counted on after a kill.
        restore_callback_states_from_checkpoint=True,
        logging_steps=1,
        logging_first_step=True,
        # The filter hides losses that are no numbers, and has every step wait for the GPU to find them.
        logging_nan_inf_filter=False,
        report_to=(list(train.report_to) if reports else []) or "none",
        run_name=config.name,
        project="tuneserve",
        disable_tqdm=True,
        seed=config.seed,
        data_seed=config.seed,
        dataloader_num_workers=0,
    )


def passes_of(trainer: SFTTrainer, train: pa.Table, ranks: int = 1) -> list[PassSize]:
    """Every forward pass of the run on all `ranks` processes, in order: the sampler is seeded, so that it is known."""
    lengths = train["length"].to_numpy()
    # A row's first token is never predicted.
    trained = np.array([int((labels.values.to_numpy()[1:] != IGNORED).sum()) for labels in train["labels"]])
    args = trainer.args
    passes = args.gradient_accumulation_steps * ranks
    count = args.max_steps * passes if args.max_steps > 0 else None
    rows = count * args.per_device_train_batch_size if count else args.num_train_epochs * len(lengths)
    batches = list(order_of_rows(trainer, math.ceil(rows / len(lengths))))
    return [PassSize(int(lengths[b].sum()), int(trained[b].sum())) for b in batches[:count] if b]


def _rows(table: pa.Table, longest: int) -> Dataset:
    dataset = Dataset(table.select(["input_ids", "labels", "length"]))
    # The data stage holds every row to it.
    vouch_for_length(dataset, longest)
    return dataset
