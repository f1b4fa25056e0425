"""From another trainer's recipe to one of ours, and what of it has no counterpart."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import yaml

from configs.disk.yaml_text import one_line
from configs.errors import ConfigError
from configs.foreign.arguments import Source, read_foreign
from configs.foreign.data import sources_of
from configs.foreign.names import NAMES, NOT_NEEDED
from configs.recipe.load import validate
from configs.recipe.names import file_name_from
from configs.recipe.schema import Optimizer, TrainConfig

_QUANTIZED = re.compile(r"-(unsloth-)?bnb-4bit$|-(AWQ|GPTQ(-Int[48])?|FP8)$", re.IGNORECASE)
_ANY = ("sft", "lora", "qlora", "full", "out", "output", "outputs", "checkpoints", "")
"""Names of output folders that say nothing."""
_SCHEDULERS = get_args(TrainConfig.model_fields["scheduler"].annotation)
_OPTIMIZERS = {"adamw_bnb_8bit": "adamw_8bit", "paged_adamw": "paged_adamw_32bit", "adamw_hf": "adamw_torch"}
_NOT_SFT = {"stage": ("sft",), "rlhf_type": (), "rl": (None, False), "train_stage": ("sft",)}
"""Keys by which a file says that it does something else, and the values that do not."""


@dataclass
class Translation:
    """A recipe of ours, and how it came about."""

    tool: str
    recipe: dict[str, Any]
    """Sections and keys as YAML has them."""
    taken: list[tuple[str, str]] = field(default_factory=list)
    """(its key, ours) of everything that was carried over."""
    assumed: list[tuple[str, str]] = field(default_factory=list)
    """(our key, why) of what was not written down and is the other trainer's default."""
    not_needed: list[tuple[str, str]] = field(default_factory=list)
    """(its key, why it needs no counterpart)."""
    left: list[tuple[str, str]] = field(default_factory=list)
    """(its key, why) of what could not be translated: the run may differ there."""

    def text(self, file: Path) -> str:
        """The recipe as commented YAML."""
        lines = [f"Translated from {one_line(file.name)} ({self.tool}) by `tuneserve init --from`.", ""]
        if self.left:
            lines += ["Could not be translated; look at each:"]
            lines += [f"  {one_line(f'{key}: {why}')}" for key, why in self.left]
        if self.assumed:
            lines += [f"Not written there, so the defaults of {self.tool}:"]
            lines += [f"  {one_line(f'{key}: {why}')}" for key, why in self.assumed]
        body = yaml.safe_dump(self.recipe, allow_unicode=True, sort_keys=False, width=120)
        return "\n".join(f"# {line}".rstrip() for line in lines).rstrip("#\n ") + "\n\n" + body


def translate(file: Path) -> Translation:
    """Translates another trainer's file; the recipe that comes of it is valid.

    Raises:
        ConfigError: it is no recipe of a known trainer, does something else than supervised fine-tuning, or names no
            model or data.
    """
    source = read_foreign(file)
    result = _Translator(source, file).translate()
    validate(result.recipe, file)
    return result


class _Translator:
    def __init__(self, source: Source, file: Path) -> None:
        self.file, self.tool, self.arguments = file, source.tool, dict(source.arguments)
        self.processes = source.processes
        self.used: set[str] = set()
        self.result = Translation(source.tool, {}, left=list(source.left))

    def translate(self) -> Translation:
        self._refuse_other_training()
        recipe = self.result.recipe
        output = str(self._take("output", "name") or self.file.stem)
        folder = Path(output.rstrip("/")).name
        recipe["name"] = file_name_from(self.file.stem if folder.lower() in _ANY else folder, "translated")
        recipe["model"], quantized = self._model()
        recipe["hub"] = self._hub()
        recipe["thinking"] = self._thinking()
        if (seed := self._number("seed", "seed", int)) is not None:
            recipe["seed"] = seed
        recipe["data"] = self._data()
        recipe["lora"] = self._lora()
        recipe["train"] = self._train(quantized)
        recipe["eval"] = {"tasks": [{"name": "builtin", "type": "builtin"}]}
        self._account_for_the_rest()
        return self.result

    def _refuse_other_training(self) -> None:
        for key, allowed in _NOT_SFT.items():
            if key in self.arguments and self.arguments[key] not in allowed:
                raise ConfigError(
                    f"{self.file}: {key}: {self.arguments[key]} is no supervised fine-tuning",
                    "only answers are trained here; of preference data the chosen ones",
                )

    def _take(self, what: str, ours: str) -> Any:
        """The value of a key, its own or its default's; None where neither says anything."""
        name = NAMES[self.tool].get(what)
        if name is None:
            return None
        found = next((key for key in name.names if self.arguments.get(key) is not None), None)
        self.used |= set(name.names)
        if found is not None:
            self.result.taken.append((found, ours))
            return self.arguments[found]
        if name.default is not None:
            slow = " (turns Unsloth's fast kernels off; 0 trains faster)" if what == "dropout" and name.default else ""
            # Rows a step are a product, of which one factor may be written there and the other not.
            shown = name.names[0] if ours == "train.rows_per_step" else ours
            self.result.assumed.append((shown, f"{name.default}{slow}"))
        return name.default

    def _number(self, what: str, ours: str, kind: type = float) -> Any:
        value = self._take(what, ours)
        if value is None or isinstance(value, bool):
            return None
        try:
            return kind(float(value))
        except (TypeError, ValueError):
            self._leave(what, f"{str(value)[:60]} is computed there, set {ours} yourself")
            return None

    def _leave(self, what: str, why: str) -> None:
        name = NAMES[self.tool][what]
        key = next((key for key in name.names if key in self.arguments), name.names[0])
        self.result.taken = [pair for pair in self.result.taken if pair[0] != key]
        self.result.left.append((key, why))

    def _model(self) -> tuple[str, bool]:
        model = self._take("model", "model")
        if not isinstance(model, str) or not model.strip():
            raise ConfigError(f"{self.file}: no model is named", "write its name into the file")
        if match := _QUANTIZED.search(model):
            base = model[: match.start()]
            self.result.left.append(
                ("model", f"{model} is quantized, and an adapter merges into 16-bit weights: {base} is taken instead")
            )
            return base, "bnb-4bit" in match[0].lower()
        return model, False

    def _hub(self) -> str:
        if self.tool == "ms-swift":
            return "huggingface" if _true(self.arguments.get("use_hf")) else "modelscope"
        return "modelscope" if _true(self.arguments.get("use_modelscope_hub")) else "huggingface"

    def _thinking(self) -> bool:
        self.used.add("enable_thinking")
        if "enable_thinking" in self.arguments:
            self.result.taken.append(("enable_thinking", "thinking"))
            return _true(self.arguments["enable_thinking"])
        template = str(self.arguments.get("template", ""))
        return template == "qwen3_thinking"

    def _data(self) -> dict[str, Any]:
        found = sources_of(self.tool, self.arguments, self.file)
        self.used |= found.used
        self.result.taken += [(key, "data.sources") for key in sorted(found.used & set(self.arguments))]
        self.result.left += found.left
        data: dict[str, Any] = {"sources": found.sources}
        split = self._number("eval_split", "data.eval_split")
        if split is not None and split >= 1:
            data["max_heldout"], data["eval_split"] = int(split), 0.5
        elif split:
            data["eval_split"] = split
        elif split is not None:
            self._leave("eval_split", "0 would leave no row to measure the gain on: 5 % are held out here")
        if (longest := self._number("max_length", "data.max_length", int)) is not None:
            data["max_length"] = longest
        if isinstance(system := self._take("system", "data.system"), str):
            data["system"] = system
        if _true(self.arguments.get("mask_history")):
            self.used.add("mask_history")
            self.result.taken.append(("mask_history", "data.turns"))
            data["turns"] = "last"
        return data

    def _lora(self) -> dict[str, Any]:
        lora: dict[str, Any] = {"r": self._number("rank", "lora.r", int) or 16}
        alpha = self._number("alpha", "lora.alpha")
        if alpha is None:
            alpha = 2.0 * lora["r"] if self.tool == "LLaMA-Factory" else float(lora["r"])
            self.result.assumed.append(("lora.alpha", f"{alpha:g}"))
        lora["alpha"] = alpha
        if dropout := self._number("dropout", "lora.dropout"):
            lora["dropout"] = dropout
        targets = self._take("targets", "lora.target_modules")
        if _true(self.arguments.get("lora_target_linear")):
            self.used.add("lora_target_linear")
            targets = "all"
        if names := _names(targets):
            lora["target_modules"] = names
        bias = self.arguments.get("bias")
        self.used.add("bias")
        if bias in ("all", "lora_only"):
            self.result.taken.append(("bias", "lora.bias"))
            lora["bias"] = bias
        for what in ("rslora", "dora"):
            if _true(self._take(what, f"lora.{what}")):
                lora[what] = True
        saved = _names(self._take("saved_modules", "lora.modules_to_save"))
        if saved and set(saved) <= {"lm_head", "embed_tokens"}:
            lora["modules_to_save"] = saved
        elif saved:
            self._leave("saved_modules", "only lm_head and embed_tokens can be trained whole")
        return lora

    def _train(self, quantized: bool) -> dict[str, Any]:
        train: dict[str, Any] = {}
        method = str(self._take("method", "train.method") or "lora").lower()
        full = method in ("full", "none", "") or _true(self._take("full", "train.method"))
        if method not in ("lora", "qlora", "full", "none", ""):
            self._leave("method", f"{method} is none of LoRA and full: LoRA is taken")
        if full:
            train["method"] = "full"
        train["precision"] = "16bit" if full else self._precision(quantized, method)
        train["rows_per_step"] = self._rows_per_step()
        steps = self._number("max_steps", "train.max_steps", int) or 0
        if steps > 0:
            train["max_steps"] = steps
        train["epochs"] = self._number("epochs", "train.epochs") or 1.0
        rate = self._number("rate", "train.learning_rate")
        if rate is None and self.tool == "ms-swift":
            rate = 1e-5 if full else 1e-4
            self.result.assumed.append(("train.learning_rate", f"{rate:g}"))
        if rate is not None:
            train["learning_rate"] = rate
        train |= self._schedule(steps)
        for what in ("weight_decay", "max_grad_norm"):
            value = self._number(what, f"train.{what}")
            if value == 0 and what == "max_grad_norm":
                self._leave(what, "0 clips nothing there; here gradients are clipped to train.max_grad_norm=1")
            elif value is not None:
                train[what] = value
        if _true(self._take("keep_best", "train.keep_best")):
            train["keep_best"] = True
        if noise := self._number("neftune", "train.neftune_noise_alpha"):
            train["neftune_noise_alpha"] = noise
        train["optimizer"] = self._optimizer()
        for what in ("save_steps", "eval_steps"):
            if (value := self._number(what, f"train.{what}")) is not None and value > 0:
                train[what] = value
        for what in ("save_total_limit", "early_stopping"):
            if value := self._number(what, f"train.{what}", int):
                train[what] = value
        trackers = [t for t in _names(self._take("report_to", "train.report_to")) if t not in ("none", "all")]
        known = get_args(get_args(TrainConfig.model_fields["report_to"].annotation)[0])
        if trackers and set(trackers) <= set(known):
            train["report_to"] = trackers
        elif trackers:
            self._leave("report_to", f"trackers here: {', '.join(known)}")
        return train

    def _rows_per_step(self) -> int:
        batch = self._number("batch", "train.rows_per_step", int) or 1
        accumulation = self._number("accumulation", "train.rows_per_step", int)
        if accumulation is None and self.tool == "ms-swift":
            accumulation = max(1, math.ceil(16 / (batch * self.processes)))  # about 16 rows, of all processes together
            self.result.assumed.append(("train.rows_per_step", f"{batch * accumulation * self.processes}"))
        each = batch * (accumulation or 1)
        rows = each * self.processes
        if self.processes > 1:
            said = f"{each} of each of {self.processes} processes there"
            self.result.taken.append((said, "train.rows_per_step"))
        elif several := next((key for key in ("deepspeed", "fsdp") if self.arguments.get(key)), None):
            self.used.add(several)
            why = f"for several GPUs, how many is not in the file; train.rows_per_step={each} is that of one"
            self.result.left.append((several, why))
        for key in ("packing", "neat_packing", "sample_packing"):
            if _true(self.arguments.get(key)):
                self.used.add(key)
                why = f"each of the {rows} rows of a step holds several of yours there: set train.rows_per_step higher"
                self.result.left.append((key, why))
        return rows

    def _precision(self, quantized: bool, method: str) -> str:
        bits = self._number("bits", "train.precision", int)
        four = _true(self._take("load_4bit", "train.precision")) and not _true(self.arguments.get("load_in_8bit"))
        eight = _true(self._take("load_8bit", "train.precision"))
        if self.tool == "Unsloth" and _true(self.arguments.get("load_in_16bit")):
            four = False
        if bits == 4 or four or quantized or method == "qlora":
            return "4bit"
        return "8bit" if bits == 8 or eight else "16bit"

    def _schedule(self, steps: int) -> dict[str, Any]:
        scheduler = str(self._take("scheduler", "train.scheduler") or "linear")
        found: dict[str, Any] = {}
        if scheduler in _SCHEDULERS:
            found["scheduler"] = scheduler
        else:
            self._leave("scheduler", f"{scheduler} is not among {', '.join(_SCHEDULERS)}: cosine is taken")
        ratio = self._number("warmup_ratio", "train.warmup_ratio")
        warmup = self._number("warmup_steps", "train.warmup_ratio")
        if warmup and warmup >= 1 and steps > 0:
            ratio = min(0.999, warmup / steps)
        elif warmup and warmup >= 1:
            self._leave("warmup_steps", f"{warmup:g} steps: set train.warmup_ratio to that share of all steps")
        elif warmup or ratio is None:
            ratio = warmup
        if ratio is not None:
            found["warmup_ratio"] = round(ratio, 4)
        return found

    def _optimizer(self) -> str:
        name = str(self._take("optimizer", "train.optimizer") or "auto")
        name = _OPTIMIZERS.get(name, name)
        if name in get_args(Optimizer):
            return name
        self._leave("optimizer", f"{name} needs a package or arguments of its own: `auto` is taken")
        return "auto"

    def _account_for_the_rest(self) -> None:
        for key in ("train_on_inputs", "train_on_prompt"):
            self.used.add(key)
            if _true(self.arguments.get(key)):
                self.result.left.append((key, "prompts are trained there too; here only answers are"))
        usual = {"roles_to_train": (["assistant"], ["gpt"]), "train_on_eos": ("turn",)}
        self.used |= {key for key, values in usual.items() if self.arguments.get(key) in values}
        for key in self.arguments:
            if key in self.used:
                continue
            why = next((why for names, why in NOT_NEEDED.items() if re.fullmatch(names, key)), None)
            if why is not None:
                self.result.not_needed.append((key, why))
            elif self.arguments[key] not in (None, "", False, [], {}):
                self.result.left.append((key, f"{str(self.arguments[key])[:60]} has no counterpart here"))


def _true(value: Any) -> bool:
    return value is True or str(value).lower() in ("true", "1", "yes")


def _names(value: Any) -> list[str]:
    """Layer names of a list or of a text with commas; none for what stands for all of them."""
    if value is None or value is False:
        return []
    words: Sequence[Any] = value if isinstance(value, list | tuple) else re.split(r"[,\s]+", str(value))
    named = [str(word).strip() for word in words if str(word).strip()]
    return [] if {"all", "all-linear"} & set(named) else named
