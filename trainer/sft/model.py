"""Loads the base through Unsloth and puts the adapter on; reads back what Unsloth really did.

`environment.settle` comes before this module is imported. Unsloth patches transformers, trl and peft, so that it has to
be imported before any of them.
"""

from __future__ import annotations

import unsloth  # isort: skip
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import GenerationConfig
from transformers.utils import logging
from unsloth import FastLanguageModel

from configs.handover.training import Plan, UnslothFacts
from configs.model.files import read_model_config
from configs.recipe.schema import RunConfig
from trainer.architectures import Model
from trainer.data.tokenizer import fill_up_with_a_known_token
from trainer.loading import loading
from trainer.plan.estimate import Checkpointing
from trainer.sft.fp8_linear import Fp8Config, Fp8Linear
from trainer.sft.own_lora import put_in_place
from trainer.sft.unsloth import kept_layers, loaded_by, runs_fused_lora

OWN_LORA = {"16bit": False, "8bit": True, "4bit": False}
"""Whether the adapters run by our own functions on a GPU, by how the base is held; else by Unsloth's.

With a base in 16 bits a recorded step of 8 short rows of a 14B model takes 0.139 s by ours and 0.142 s by Unsloth's, on
an H100 (ours on a card that was shared): no sign that leaving the library pays. A base in FP8 has ours alone.
"""


def load(config: RunConfig, folder: Path, longest: int, plan: Plan) -> tuple[Any, Any]:
    """(model, tokenizer), the model ready to train: with a fresh adapter, or whole under `train.method: full`.

    Args:
        config: the recipe.
        folder: the resolved local model folder; a hub name could make Unsloth load another repository.
        longest: tokens of the longest row.
        plan: the layout of training.
    """
    logging.disable_progress_bar()
    precision = config.train.precision
    full = config.train.method == "full"
    recompute: dict[Checkpointing, bool | str] = {"unsloth": "unsloth", "on": True, "off": False}
    checkpointing = recompute[plan.checkpointing]
    fp8 = {"quantization_config": Fp8Config()} if precision == "8bit" and not full else {}
    with loading(folder), loaded_by(**fp8) if fp8 else nullcontext():
        model, tokenizer = FastLanguageModel.from_pretrained(
            model_name=str(folder),
            max_seq_length=longest,
            dtype=getattr(torch, plan.dtype),
            load_in_4bit=precision == "4bit" and not full,
            load_in_16bit=precision == "16bit" and not full,
            full_finetuning=full,
            use_gradient_checkpointing=checkpointing,
            local_files_only=True,
            trust_remote_code=False,
            # On a CPU Unsloth loads the text part alone, and does not know the word.
            **({"text_only": True} if torch.cuda.is_available() and Model.of(read_model_config(folder)).sees else {}),
            **fp8,
        )
    fill_up_with_a_known_token(tokenizer, model.get_input_embeddings().num_embeddings)
    if full:
        # It is saved beside the weights and read by nobody. Some bases have one, with a temperature and no
        # `do_sample`, that transformers reads and does not save.
        model.generation_config = GenerationConfig()
        return model, tokenizer
    lora = config.lora
    model = FastLanguageModel.get_peft_model(
        model,
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        bias=lora.bias,
        target_modules=list(lora.named_modules),
        modules_to_save=list(lora.modules_to_save) or None,
        use_rslora=lora.rslora,
        use_dora=lora.dora,
        use_gradient_checkpointing=checkpointing,
        random_state=config.seed,
        max_seq_length=longest,
        # On a CPU Unsloth does not know the word.
        **({"checkpoint_skip_layers": plan.kept_layers} if plan.kept_layers else {}),
    )
    saved = model.peft_config["default"]
    if isinstance(saved.target_modules, set):
        # A set is written in another order by each process.
        saved.target_modules = sorted(saved.target_modules)
    if torch.cuda.is_available() and OWN_LORA[precision]:
        put_in_place(model, plan.turned_copy)
    return model, tokenizer


def what_unsloth_did(model: Any, trainer: Any) -> UnslothFacts:
    """Read from the model and the trainer as they stand, not from what was asked for."""
    text = model.get_base_model() if hasattr(model, "get_base_model") else model
    collator = trainer.data_collator
    return UnslothFacts(
        version=unsloth.__version__,
        backend="cpu" if model.device.type == "cpu" else "gpu",
        layers=int(text.config.get_text_config().num_hidden_layers),
        patched_layers=patched_layers(text),
        adapted_linears=sum(1 for name, _ in model.named_modules() if name.endswith(".lora_A")),
        trainable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        parameters=sum(p.numel() for p in model.parameters()),
        attention=text.config._attn_implementation,
        precision=loaded_precision(text),
        packing=bool(trainer.args.packing),
        padding_free=bool(collator.padding_free),
        gradient_checkpointing=bool(text.is_gradient_checkpointing),
        kept_layers=kept_layers(text),
        optimizer=str(getattr(trainer.args.optim, "value", trainer.args.optim)),
        dtype=str(next(model.parameters()).dtype).removeprefix("torch."),
        bf16_autocast=bool(trainer.args.bf16),
    )


def loaded_precision(model: Any) -> Literal["16bit", "8bit", "4bit"]:
    """`4bit`, `8bit` or `16bit`, by the kind of linear layers there are: a library may have fallen back."""
    kinds = {type(module).__name__ for module in model.modules()}
    if "Linear4bit" in kinds:
        return "4bit"
    return "8bit" if Fp8Linear.__name__ in kinds else "16bit"


def patched_layers(model: Any) -> dict[str, int]:
    """Layers that run fused LoRA functions, Unsloth's or ours, by what they are put in the place of."""
    return dict(Counter(name for module in model.modules() for name in runs_fused_lora(module)))
