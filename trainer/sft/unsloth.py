"""What reaches into Unsloth, TRL and transformers' trainer beyond their public interface, and nothing else does.

Each piece has a test in tests/trainer/sft/test_unsloth.py that fails when a new version lacks what it relies on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from trainer.data.template import IGNORED
from trainer.gpus.dealing import DealtBatches

Attend = Callable[..., torch.Tensor]
"""`attend(config=, context=, Q=, K=, V=)` in Unsloth's layers: (1, heads, tokens, head size) each, to
(1, tokens, heads, head size)."""


def stack_versions() -> str:
    """The versions that recording depends on, in one phrase."""
    return f"torch {torch.__version__}, Unsloth {version('unsloth')}"


@contextmanager
def loaded_by(quantization_config: Any) -> Iterator[None]:
    """Within the block, transformers loads causal language models with this quantization configuration.

    Unsloth hands on what it is given on a GPU; on a CPU it drops it.
    """
    from transformers import AutoModelForCausalLM

    own = AutoModelForCausalLM.from_pretrained

    def loading(*args: Any, **options: Any) -> Any:
        return own(*args, **{"quantization_config": quantization_config} | options)

    AutoModelForCausalLM.from_pretrained = loading
    try:
        yield
    finally:
        AutoModelForCausalLM.from_pretrained = own


@contextmanager
def attention_by(attend: Attend) -> Iterator[None]:
    """Within the block, Unsloth's layers on a GPU attend by this function."""
    # On a CPU Unsloth leaves the layers to transformers, and this module cannot be imported.
    from unsloth.utils import attention_dispatch

    before = attention_dispatch._run_attention
    attention_dispatch._run_attention = attend
    try:
        yield
    finally:
        attention_dispatch._run_attention = before


def hidden_states(model: torch.nn.Module, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """What the decoder gives to the output layer, of shape (1, tokens, hidden), in training on a GPU.

    Args:
        model: a PEFT model with Unsloth's layers, in training mode.
        ids: token ids of rows laid end to end, (1, tokens).
        positions: from 0 in each row, (1, tokens).
    """
    from unsloth.utils.packing import mark_allow_overlength

    # Else all the rows together are cut to the length of one.
    mark_allow_overlength(model)
    decoder = model.get_base_model().model
    # Without a mask Unsloth looks for the rows in the positions, which waits for the GPU; a mask it drops in training.
    decoder._has_no_labels = False
    return decoder(
        input_ids=ids, position_ids=positions, attention_mask=torch.ones_like(ids), use_cache=False, return_dict=True
    ).last_hidden_state


HIDDEN_STATES = "UNSLOTH_RETURN_HIDDEN_STATES"


def decoder_states(model: torch.nn.Module, inputs: Mapping[str, Any]) -> torch.Tensor:
    """What the decoder gives to the output layer in a step of the trainer's own, of shape (rows, tokens, hidden).

    Args:
        model: a PEFT model, in training mode.
        inputs: a batch of the trainer's, labels included.
    """
    if inputs["input_ids"].device.type == "cpu":
        # There Unsloth leaves the model to transformers.
        given = {name: inputs[name] for name in ("input_ids", "attention_mask", "position_ids") if name in inputs}
        return model.get_base_model().model(**given, use_cache=False).last_hidden_state
    # What Unsloth's own trainers of reinforcement learning set to have these in the place of the logits.
    os.environ[HIDDEN_STATES] = "1"
    try:
        return model(**{**inputs, "use_cache": False}).logits
    finally:
        del os.environ[HIDDEN_STATES]


def loss_by(trainer: Any, key: str, loss: Callable[[Any, dict[str, Any], Any], torch.Tensor]) -> None:
    """Puts `loss` in the place of the trainer's own, for batches that hold `key`.

    Args:
        loss: given the model, the batch and the trained tokens of the optimizer step, which it divides by.
    """
    own = trainer.compute_loss

    def compute(model: Any, inputs: dict[str, Any], *more: Any, num_items_in_batch: Any = None, **named: Any) -> Any:
        if key in inputs:
            return loss(model, inputs, num_items_in_batch)
        return own(model, inputs, *more, num_items_in_batch=num_items_in_batch, **named)

    trainer.compute_loss = compute


def vouch_for_length(rows: Any, longest: int) -> None:
    """Tells Unsloth that no tokenized row is longer: it gives up padding-free batches for rows that nobody vouches for.

    What came of it is read back from the trainer.
    """
    rows._unsloth_truncated_to = longest


def runs_fused_lora(module: torch.nn.Module) -> list[str]:
    """Which of `qkv`, `o` and `mlp` run fused LoRA functions on this instance, Unsloth's or ours."""
    found = []
    for name in ("apply_qkv", "apply_o"):
        fast = vars(module).get(name)
        if fast is not None and "lora" in fast.__name__:
            found.append(name.removeprefix("apply_"))
    forward = vars(module).get("forward")
    if forward is not None and "lora_mlp" in getattr(forward, "__name__", ""):
        found.append("mlp")
    return found


def is_swiglu(mlp: torch.nn.Module) -> bool:
    """Whether Unsloth put its LoRA function for SwiGLU in the place of an MLP's forward pass."""
    return getattr(vars(mlp).get("forward"), "__name__", "") == "apply_lora_mlp_swiglu"


def without_fused_lora(attention: torch.nn.Module, mlp: torch.nn.Module) -> None:
    """Leaves the layers' projections to PEFT."""
    from unsloth.models import llama

    attention.apply_qkv, attention.apply_o = llama.original_apply_qkv, llama.original_apply_o
    vars(mlp).pop("forward", None)


def dequantize(weight: torch.Tensor, state: Any) -> torch.Tensor:
    """A 4-bit weight of bitsandbytes in 16 bits, (outputs, inputs), by Unsloth's kernel."""
    from unsloth.kernels.utils import fast_dequantize

    unpacked: torch.Tensor = fast_dequantize(weight, state, use_global_buffer=True)
    return unpacked


def swiglu_kernels() -> tuple[Callable[..., torch.Tensor], Callable[..., tuple[torch.Tensor, ...]]]:
    """Unsloth's SwiGLU and its backward pass, for matrices (tokens, width); see `trainer.sft.lora_functions`."""
    from unsloth.kernels.swiglu import swiglu_DWf_DW_dfg_kernel, swiglu_fg_kernel

    return lambda gate, up: swiglu_fg_kernel(gate[None], up[None])[0], swiglu_DWf_DW_dfg_kernel


def kept_layers(model: torch.nn.Module) -> int:
    """Layers that Unsloth keeps from gradient checkpointing."""
    return sum("_unsloth_skip_checkpoint" in vars(module) for module in model.modules())


NO_ROWS = "no_rows"
"""Key of a batch that stands for a pass without rows."""


def no_rows() -> dict[str, Any]:
    """The batch of a pass without rows: one token that trains nothing, and never goes through the model."""
    one = torch.zeros(1, 1, dtype=torch.long)
    return {"input_ids": one, "labels": torch.full_like(one, IGNORED), NO_ROWS: True}


def watch_batches(trainer: Any, seen: Callable[[dict[str, Any]], None]) -> None:
    """Shows every training batch that the collator gives to `seen`, on the host, before it goes to the model.

    Which batches are for training the model's mode does not say: behind an evaluation the next ones are collated, one
    ahead of need, while the model is still in that of evaluation.
    """
    collate, evaluate = trainer.data_collator.torch_call, trainer.evaluation_loop
    scoring = False

    def watched(examples: list[dict[str, Any]]) -> dict[str, Any]:
        if not examples:
            return no_rows()
        batch = collate(examples)
        if not scoring:
            seen(batch)
        return batch

    def evaluation(*arguments: Any, **named: Any) -> Any:
        nonlocal scoring
        scoring = True
        try:
            return evaluate(*arguments, **named)
        finally:
            scoring = False

    trainer.data_collator.torch_call = watched
    trainer.evaluation_loop = evaluation


def order_of_rows(trainer: Any, epochs: int) -> Iterator[list[int]]:
    """Which rows make every batch of so many epochs: the sampler is seeded, so that asking changes nothing.

    Yields:
        The places of the rows of a batch in the training set; of several processes the batches of all.
    """
    loader = trainer.get_train_dataloader()
    for epoch in range(epochs):
        loader.set_epoch(epoch)
        if isinstance(loader.batch_sampler, DealtBatches):
            for step in loader.batch_sampler.steps():
                yield from (batch for passes in step for batch in passes)
        else:
            yield from (list(batch) for batch in loader.batch_sampler)


def passes_by(trainer: Any, batches: Callable[[Any], Any]) -> None:
    """Has the training rows come in the batches that `batches` makes of the order of an epoch, instead of as they come.

    Args:
        batches: given the sampler of the rows, makes what a `DataLoader` takes as its `batch_sampler`.
    """

    def loader() -> Any:
        rows = trainer._remove_unused_columns(trainer.train_dataset, description="training")
        return trainer.accelerator.prepare(
            DataLoader(
                rows,
                batch_sampler=batches(trainer._get_train_sampler()),
                collate_fn=trainer.data_collator,
                pin_memory=trainer.args.dataloader_pin_memory,
            )
        )

    trainer.get_train_dataloader = loader


def step_by(trainer: Any, count: Callable[[list[dict[str, Any]], Any], Any], step: Callable[..., Any]) -> None:
    """Puts `count` behind the trainer's count of the trained tokens of a step, and `step` in the place of its passes.

    Args:
        count: given the batches of a step and the trainer's count, returns the count that the loss is divided by.
        step: given the trainer's own `training_step`, and what that takes.
    """
    own_batches, own_step = trainer.get_batch_samples, trainer.training_step

    def batches(*arguments: Any) -> tuple[list[dict[str, Any]], Any]:
        found, items = own_batches(*arguments)
        return found, count(found, items)

    trainer.get_batch_samples = batches
    trainer.training_step = lambda *arguments, **named: step(own_step, *arguments, **named)


def sample_by(trainer: Any, sampler: Callable[[Any], Any]) -> None:
    """Puts what `sampler` makes of it in the place of the sampler of the training rows."""
    own = trainer._get_train_sampler
    trainer._get_train_sampler = lambda *arguments: sampler(own(*arguments))


def save_by(trainer: Any, save: Callable[[Callable[[], None]], None]) -> None:
    """Puts `save` before the trainer's saving of a checkpoint; it is given that."""
    own = trainer._save_checkpoint
    trainer._save_checkpoint = lambda model, trial: save(lambda: own(model, trial))


def read_by(trainer: Any, read: Callable[[Callable[[], Any]], Any]) -> None:
    """Puts `read` before the trainer's readings of what a checkpoint holds; it is given each."""
    whole = ("_init_training_state", "_load_from_checkpoint")
    for name in (*whole, "_load_optimizer_and_scheduler", "_load_scaler", "_load_rng_state"):
        own = getattr(trainer, name)
        setattr(trainer, name, lambda *arguments, own=own: read(lambda: own(*arguments)))


def sync_by(trainer: Any, sync: Callable[[Path], None]) -> None:
    """Gives `sync` the folder of a checkpoint before its state, which makes it complete, is written, and after."""
    own = trainer._save_rng_state
    folders: list[Path] = []

    def all_but_the_state(folder: str) -> None:
        own(folder)
        folders[:] = [Path(folder)]
        sync(*folders)

    def save(own_save: Callable[[], None]) -> None:
        own_save()
        sync(*folders)

    trainer._save_rng_state = all_but_the_state
    save_by(trainer, save)


def evaluate_by(trainer: Any, combine: Callable[[float, int], float] | None = None) -> None:
    """Has an evaluation give the loss of a trained token; the trainer's own is a mean of batches, whatever is in them.

    Args:
        combine: of several processes, given the sum of the losses and the trained tokens of this one, the loss of all.
    """
    own_step, own_loop = trainer.prediction_step, trainer.evaluation_loop
    seen: list[tuple[float, int]] = []

    def step(model: Any, inputs: dict[str, Any], *more: Any, **named: Any) -> Any:
        trained = int((inputs["labels"][:, 1:] != IGNORED).sum())
        found = own_step(model, inputs, *more, **named)
        seen.append((float(found[0]) * trained if trained else 0.0, trained))
        return found

    def loop(*arguments: Any, **named: Any) -> Any:
        seen.clear()
        output = own_loop(*arguments, **named)
        total, tokens = sum(loss for loss, _ in seen), sum(count for _, count in seen)
        output.metrics["eval_loss"] = combine(total, tokens) if combine else total / max(1, tokens)
        return output

    trainer.prediction_step, trainer.evaluation_loop = step, loop


def clip_by(trainer: Any, clip: Callable[[Callable[[], Any]], Any]) -> None:
    """Puts `clip` before the trainer's own clipping; it is given that, and returns the gradient's norm."""
    own_clip, own_norm = trainer._clip_grad_norm, trainer._get_grad_norm
    trainer._clip_grad_norm = lambda model: clip(lambda: own_clip(model))
    # Where nothing is clipped, the trainer asks for the norm alone.
    trainer._get_grad_norm = lambda model, grad_norm=None: (
        clip(lambda: own_norm(model)) if grad_norm is None else own_norm(model, grad_norm)
    )
