"""What other trainers call the keys of a recipe, their defaults, and what of theirs needs no counterpart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from configs.foreign.arguments import Tool


@dataclass(frozen=True)
class Name:
    """A trainer's names for one thing, the first that is there counts, and its default; None says nothing."""

    names: tuple[str, ...]
    default: Any = None


NAMES: Mapping[Tool, Mapping[str, Name]] = {
    "LLaMA-Factory": {
        "model": Name(("model_name_or_path",)),
        "max_length": Name(("cutoff_len",), 2048),
        "rank": Name(("lora_rank",), 8),
        "alpha": Name(("lora_alpha",)),
        "dropout": Name(("lora_dropout",), 0.0),
        "targets": Name(("lora_target",), "all"),
        "rslora": Name(("use_rslora",)),
        "dora": Name(("use_dora",)),
        "saved_modules": Name(("additional_target",)),
        "batch": Name(("per_device_train_batch_size",), 8),
        "accumulation": Name(("gradient_accumulation_steps",), 1),
        "epochs": Name(("num_train_epochs",), 3.0),
        "max_steps": Name(("max_steps",)),
        "rate": Name(("learning_rate",), 5e-5),
        "scheduler": Name(("lr_scheduler_type",), "linear"),
        "warmup_ratio": Name(("warmup_ratio",), 0.0),
        "warmup_steps": Name(("warmup_steps",)),
        "weight_decay": Name(("weight_decay",), 0.0),
        "max_grad_norm": Name(("max_grad_norm",), 1.0),
        "optimizer": Name(("optim",), "adamw_torch"),
        "seed": Name(("seed",), 42),
        "neftune": Name(("neftune_noise_alpha",)),
        "bits": Name(("quantization_bit",)),
        "method": Name(("finetuning_type",), "lora"),
        "eval_split": Name(("val_size",)),
        "output": Name(("output_dir",)),
        "system": Name(("default_system",)),
        "save_steps": Name(("save_steps",)),
        "eval_steps": Name(("eval_steps",)),
        "save_total_limit": Name(("save_total_limit",)),
        "report_to": Name(("report_to",)),
        "keep_best": Name(("load_best_model_at_end",)),
    },
    "ms-swift": {
        "model": Name(("model", "model_id_or_path")),
        "max_length": Name(("max_length",)),
        "rank": Name(("lora_rank",), 8),
        "alpha": Name(("lora_alpha",), 32),
        "dropout": Name(("lora_dropout", "lora_dropout_p"), 0.05),
        "targets": Name(("target_modules", "lora_target_modules"), "all-linear"),
        "rslora": Name(("use_rslora",)),
        "dora": Name(("use_dora",)),
        "saved_modules": Name(("modules_to_save",)),
        "batch": Name(("per_device_train_batch_size",), 1),
        "accumulation": Name(("gradient_accumulation_steps",)),
        "epochs": Name(("num_train_epochs",), 3.0),
        "max_steps": Name(("max_steps",)),
        "rate": Name(("learning_rate",)),
        "scheduler": Name(("lr_scheduler_type",), "cosine"),
        "warmup_ratio": Name(("warmup_ratio",), 0.0),
        "warmup_steps": Name(("warmup_steps",)),
        "weight_decay": Name(("weight_decay",), 0.1),
        "max_grad_norm": Name(("max_grad_norm",), 1.0),
        "optimizer": Name(("optim",), "adamw_torch_fused"),
        "seed": Name(("seed",), 42),
        "neftune": Name(("neftune_noise_alpha",)),
        "bits": Name(("quant_bits",)),
        "method": Name(("train_type", "tuner_type", "sft_type"), "lora"),
        "eval_split": Name(("split_dataset_ratio",)),
        "output": Name(("output_dir",)),
        "system": Name(("system",)),
        "save_steps": Name(("save_steps",)),
        "eval_steps": Name(("eval_steps",)),
        "save_total_limit": Name(("save_total_limit",)),
        "report_to": Name(("report_to",)),
        "keep_best": Name(("load_best_model_at_end",)),
    },
    "Axolotl": {
        "model": Name(("base_model",)),
        "max_length": Name(("sequence_len",), 2048),
        "rank": Name(("lora_r",), 8),
        "alpha": Name(("lora_alpha",)),
        "dropout": Name(("lora_dropout",), 0.0),
        "targets": Name(("lora_target_modules",)),
        "rslora": Name(("peft_use_rslora",)),
        "dora": Name(("peft_use_dora",)),
        "saved_modules": Name(("lora_modules_to_save",)),
        "batch": Name(("micro_batch_size",), 1),
        "accumulation": Name(("gradient_accumulation_steps",), 1),
        "epochs": Name(("num_epochs",), 1.0),
        "max_steps": Name(("max_steps",)),
        "rate": Name(("learning_rate",)),
        "scheduler": Name(("lr_scheduler",), "cosine"),
        "warmup_ratio": Name(("warmup_ratio",)),
        "warmup_steps": Name(("warmup_steps",)),
        "weight_decay": Name(("weight_decay",), 0.0),
        "max_grad_norm": Name(("max_grad_norm",), 1.0),
        "optimizer": Name(("optimizer",), "adamw_torch_fused"),
        "seed": Name(("seed",), 42),
        "neftune": Name(("neftune_noise_alpha", "noisy_embedding_alpha")),
        "load_4bit": Name(("load_in_4bit",)),
        "load_8bit": Name(("load_in_8bit",)),
        "method": Name(("adapter",), "full"),
        "eval_split": Name(("val_set_size",)),
        "output": Name(("output_dir",)),
        "system": Name(("default_system_message",)),
        "save_steps": Name(("save_steps",)),
        "eval_steps": Name(("eval_steps",)),
        "save_total_limit": Name(("save_total_limit",)),
        "early_stopping": Name(("early_stopping_patience",)),
        "keep_best": Name(("load_best_model_at_end",)),
    },
    "Unsloth": {
        "model": Name(("model_name",)),
        "max_length": Name(("max_seq_length", "max_length"), 2048),
        "rank": Name(("r",), 16),
        "alpha": Name(("lora_alpha",), 16),
        "dropout": Name(("lora_dropout",), 0.0),
        "targets": Name(("target_modules",)),
        "rslora": Name(("use_rslora",)),
        "saved_modules": Name(("modules_to_save",)),
        "batch": Name(("per_device_train_batch_size",), 8),
        "accumulation": Name(("gradient_accumulation_steps",), 1),
        "epochs": Name(("num_train_epochs",), 3.0),
        "max_steps": Name(("max_steps",)),
        "rate": Name(("learning_rate",), 2e-5),
        "scheduler": Name(("lr_scheduler_type",), "linear"),
        "warmup_ratio": Name(("warmup_ratio",)),
        "warmup_steps": Name(("warmup_steps",)),
        "weight_decay": Name(("weight_decay",), 0.0),
        "max_grad_norm": Name(("max_grad_norm",), 1.0),
        "optimizer": Name(("optim",), "adamw_torch_fused"),
        "seed": Name(("seed",), 42),
        "neftune": Name(("neftune_noise_alpha",)),
        "load_4bit": Name(("load_in_4bit",), True),
        "load_8bit": Name(("load_in_8bit",)),
        "full": Name(("full_finetuning",)),
        "output": Name(("output_dir",)),
        "save_steps": Name(("save_steps",)),
        "eval_steps": Name(("eval_steps",)),
        "save_total_limit": Name(("save_total_limit",)),
        "report_to": Name(("report_to",)),
        "keep_best": Name(("load_best_model_at_end",)),
    },
}
"""By the tool and by what a key means; the tools' documentation of 2026."""

NOT_NEEDED = {
    r"(flash_attn|attn_impl|flash_attention|sdp_attention|xformers_attention|enable_liger_kernel|use_liger_kernel|"
    r"liger_.*|plugins|use_unsloth.*|lora_(mlp|qkv|o)_kernel)": "fast kernels are on by themselves",
    r"(quantization_method|quant_method|double_quantization|quantization_type|bf16|fp16|tf32|pure_bf16|torch_dtype|dtype|compute_dtype|bnb_4bit_.*|upcast_.*)":
        "the number format follows from the GPU",
    r"(gradient_checkpointing.*|use_gradient_checkpointing|deepspeed|fsdp.*|offload_.*|low_cpu_mem_usage|use_cache)":
        "`plan: auto` picks checkpointing for the memory at hand",
    r"(packing|neat_packing|sample_packing|pad_to_sequence_len|eval_sample_packing|padding_free|group_by_length)":
        "rows are laid end to end with their boundaries kept",
    r"(logging_.*|plot_loss|overwrite_.*|disable_tqdm|log_level|include_.*|save_strategy|eval_strategy|"
    r"evaluation_strategy|eval_on_start|save_safetensors|save_only_model|saves_per_epoch|evals_per_epoch|strict|debug|"
    r"wandb_.*|mlflow_.*|run_name|output_router_logits|special_tokens|do_(train|eval|predict)|resume_from_checkpoint)":
        "every step is logged and checkpoints are kept by themselves",
    r"(preprocessing_num_workers|dataloader_.*|dataset_num_proc|dataset_prepared_path|overwrite_cache|lazy_tokenize|"
    r"load_from_cache_file|dataset_processes|cache_dir|ddp_.*|local_rank|skip_prepare_dataset|dataset_kwargs)":
        "the data stage decides",
    r"(template|chat_template.*|tokenizer.*|processing_class|model|train_dataset|dataset_text_field|"
    r"formatting_func|data_collator|trust_remote_code|model_type|use_fast_tokenizer|type_of_model|"
    r"stage|train_stage|per_device_eval_batch_size|eval_batch_size|token|is_.*_derived_model|random_state|"
    r"use_modelscope_hub|use_hf|loftq_config|remove_unused_columns|report_to|model_author|adapter|"
    r"max_new_tokens|lora_on_cpu|device_map|packed|task_type|metric_for_best_model|greater_is_better)":
        "the model's own template is used, and only answers are trained",
}  # fmt: skip
"""Keys, as regular expressions, that change nothing here, and why."""
