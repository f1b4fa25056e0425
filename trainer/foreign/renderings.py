r"""How other trainers render a conversation: their own formats, written as chat templates, and who uses which.

LLaMA-Factory and ms-swift do not render with a model's chat template but with formats of their own; Axolotl and Unsloth
bring templates that may take its place. A format stands here once, under all the names that the trainers have for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.disk.files import file_text
from configs.disk.homes import expanded
from configs.errors import ConfigError
from configs.handover.training import Family
from trainer.data.template import ChatCodec
from trainer.export.foreign import template_of

BASE, FOLDER = "base", "folder"
"""Names of the base's own template, and of the one in the folder that is judged."""


@dataclass(frozen=True)
class Rendering:
    """One way to render a conversation."""

    name: str
    """`base`, `folder`, or what a format is called here."""
    template: str
    """Jinja."""
    users: tuple[str, ...] = ()
    """Which trainers render so, under which of their names: `LLaMA-Factory qwen3_nothink`."""
    needs: tuple[str, ...] = ()
    """Tokens that the tokenizer must have, without which the format would be spelled out in letters."""

    def described(self) -> str:
        """Its name and who uses it."""
        return f"{self.name} ({', '.join(self.users)})" if self.users else self.name


def _chatml(system: str = "", think: str = "") -> str:
    """ChatML; `system` stands before conversations without one, `think` before every answer, as Jinja spells them."""
    default = r"{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nSYSTEM<|im_end|>\n' }}{% endif %}"
    body = (
        r"{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + ('THINK' if m.role == 'assistant' else '') }}"
        r"{{ m.content + '<|im_end|>\n' }}{% endfor %}"
        r"{% if add_generation_prompt %}{{ '<|im_start|>assistant\nTHINK' }}{% endif %}"
    )
    return (default.replace("SYSTEM", system) if system else "") + body.replace("THINK", think)


def _plain(user: str, answer: str, end: str, system: str, default: str = "") -> str:
    """Headings in plain text.

    Args:
        user, answer: what stands before a question, and between it and its answer.
        end: what stands behind an answer, after the tokenizer's eos.
        system: how a system prompt is written, `TEXT` for its words.
        default: system prompt of conversations without one, written as it is.
    """
    before, _, after = system.partition("TEXT")
    return (
        f"{{% if messages[0].role != 'system' %}}{{{{ '{default}' }}}}{{% endif %}}"
        "{% for m in messages %}"
        f"{{% if m.role == 'system' %}}{{{{ '{before}' + m.content{after} }}}}"
        f"{{% elif m.role == 'user' %}}{{{{ '{user}' + m.content{answer} }}}}"
        f"{{% else %}}{{{{ m.content + eos_token + '{end}' }}}}{{% endif %}}"
        "{% endfor %}"
    )


_QWEN = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
_ALPACA = "Below is an instruction that describes a task. Write a response that appropriately completes the request."
_UNSLOTH_ALPACA = (
    "Below are some instructions that describe some tasks. "
    "Write responses in English that appropriately complete each request."
)
_NOTEBOOK_ALPACA = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request."
)
_VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user\\'s questions."
)
_IM = ("<|im_start|>", "<|im_end|>")
_HEADER = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
_LLAMA3 = (
    r"{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content "
    r"+ '<|eot_id|>' }}{% endfor %}"
    r"{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)

FORMATS = (
    Rendering(
        "chatml",
        _chatml(),
        ("LLaMA-Factory qwen3_nothink", "LLaMA-Factory chatml", "ms-swift qwen3_nothinking", "ms-swift chatml",
         "Axolotl chatml", "Unsloth chatml"),
        _IM,
    ),
    Rendering(
        "chatml-empty-think",
        _chatml(think=r"<think>\n\n</think>\n\n"),
        ("LLaMA-Factory qwen3", "LLaMA-Factory qwen3_5"),
        (*_IM, "<think>", "</think>"),
    ),
    Rendering(
        "chatml-qwen",
        _chatml(_QWEN),
        ("LLaMA-Factory qwen", "ms-swift qwen2_5", "Axolotl qwen_25", "Unsloth qwen-2.5"),
        _IM,
    ),
    Rendering("chatml-helpful", _chatml("You are a helpful assistant."), ("ms-swift qwen",), _IM),
    Rendering(
        "alpaca",
        _plain(r"### Instruction:\n", r" + '\n\n### Response:\n'", r"\n\n", r"TEXT", _ALPACA + r"\n\n"),
        ("LLaMA-Factory alpaca", "Axolotl alpaca (instructions)"),
    ),
    Rendering(
        "alpaca-unsloth",
        _plain(r"### Instruction:\n", r" + '\n\n### Response:\n'", r"\n\n", r"TEXT + '\n\n'",
               _UNSLOTH_ALPACA + r"\n\n"),
        ("Unsloth alpaca",),
    ),
    Rendering(
        "alpaca-notebook",
        # Its rows have a heading for an input, which stays empty where the question is all there is.
        _plain(r"### Instruction:\n", r" + '\n\n### Input:\n\n\n### Response:\n'", r"\n\n", r"TEXT + '\n\n'",
               _NOTEBOOK_ALPACA + r"\n\n"),
        ("Unsloth alpaca_prompt",),
    ),
    Rendering(
        "alpaca-bare",
        _plain(r"### Instruction:\n", r" + '\n\n### Response:\n'", r"\n\n", r"TEXT + '\n\n'"),
        ("Axolotl alpaca",),
    ),
    Rendering(
        "human-assistant",
        _plain("Human: ", r" + eos_token + '\nAssistant:'", r"\n", r"System: TEXT + eos_token + '\n'"),
        ("LLaMA-Factory default",),
    ),
    Rendering(
        "hash-human",
        _plain(r"### Human:\n", r" + '\n\n### Assistant:\n'", r"\n\n", r"TEXT + '\n\n'",
               r"You are a helpful assistant.\n\n"),
        ("ms-swift default",),
    ),
    Rendering("vicuna", _plain("USER: ", r" + ' ASSISTANT:'", "", "TEXT", _VICUNA), ("LLaMA-Factory vicuna",)),
    Rendering("llama3", _LLAMA3, ("LLaMA-Factory llama3", "Axolotl llama3", "Unsloth llama-3"), _HEADER),
)  # fmt: skip
"""The formats by which LLaMA-Factory 0.9.5, ms-swift 4.6, Axolotl 0.19 and Unsloth 2026.10 render chat models of the
Qwen and Llama families, without tools."""


def candidates(codec: ChatCodec, base: Path, folder: Path) -> list[Rendering]:
    """The base's own template, the folder's where it is another, then every format that the tokenizer has tokens for.

    Args:
        codec: the tokenizer that the rows are encoded with.
        base: the base model's folder.
        folder: what is judged.
    """
    own, theirs = template_of(base), template_of(folder)
    found = [Rendering(BASE, own)] if own else []
    found += [Rendering(FOLDER, theirs)] if theirs and theirs != own else []
    return found + [form for form in FORMATS if all(token in codec.added_tokens for token in form.needs)]


def named(text: str, known: Sequence[Rendering]) -> Rendering:
    """The rendering that `--template` names: a Jinja file, a name of ours, or a trainer's name for it.

    Args:
        text: `chatml`, `folder`, `qwen3_nothink`, `ms-swift qwen`, or the path of a file.
        known: the renderings to choose from.

    Raises:
        ConfigError: nobody has such a template, or several trainers mean different things by it.
    """
    file = expanded(text)
    if file.is_file():
        try:
            return Rendering(file.name, file_text(file))
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"--template {file}: not UTF-8, byte {error.start + 1}", "save it as UTF-8, or name another file"
            ) from error
    wanted = _bare(text)
    for names in (lambda r: [r.name], lambda r: r.users, lambda r: [user.partition(" ")[2] for user in r.users]):
        found = [rendering for rendering in known if wanted in map(_bare, names(rendering))]
        if len(found) == 1:
            return found[0]
        if found:
            meanings = ", ".join(user for r in found for user in r.users if _bare(user).endswith(wanted))
            raise ConfigError(f"--template {text}: several trainers have one ({meanings})", "name the trainer, too")
    names_of_ours = ", ".join(rendering.name for rendering in known)
    raise ConfigError(
        f"--template {text}: no such template for this tokenizer",
        f"one of {names_of_ours}; a trainer's own name, such as qwen3_nothink; or a Jinja file",
    )


def modes(family: Family) -> tuple[bool, ...]:
    """Thinking modes that a server can take as the default of a template, the quiet one first."""
    return {"none": (False,), "switchable": (False, True), "always": (True,)}[family]


def _bare(name: str) -> str:
    return re.sub(r"[\s/:_.-]+", "", name).lower()
