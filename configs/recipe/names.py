"""What a name may be: one pattern for names that become files and folders, one for names that servers answer to."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator

from configs.errors import ConfigError

LONGEST = 100
"""Characters of the longest name."""
_LONGEST_BYTES = 200
"""A file's name, with what is added to it, has room for 255 bytes; a Chinese character takes three."""

_UNSEEN_MARK = re.compile("[\u034f\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_FILE_NAME = re.compile(r"[^\W_][\w.-]*")
_MODEL_NAME = re.compile(r"\w[\w.:@+-]*(/\w[\w.:@+-]*)*")


def file_name_problem(text: str) -> str | None:
    """Why a text cannot name a file or a folder of ours, None where it can.

    `客服` is fine: file systems take it, and so does vLLM as the name of a model.
    """
    if len(text) > LONGEST:
        return f"has {len(text)} characters, at most {LONGEST} are taken"
    if not _FILE_NAME.fullmatch(_letters(text)):
        return "takes letters of any script, digits, `.`, `_` and `-`, and begins with a letter or a digit"
    if len(text.encode()) > _LONGEST_BYTES:
        return f"has {len(text.encode())} bytes, at most {_LONGEST_BYTES} are taken"
    return None


def model_name_problem(text: str) -> str | None:
    """Why a text cannot be the name of a served model, None where it can.

    Names such as `Qwen/Qwen3-8B`, `shop:v2` and `客服` are fine. Spaces, quotes, brackets, commas and `=` are not: they
    mean something in a shell, on vLLM's command line or on a terminal.
    """
    if len(text) > LONGEST:
        return f"has {len(text)} characters, at most {LONGEST} are taken"
    if not _MODEL_NAME.fullmatch(_letters(text)):
        return "takes letters, digits and `. _ - : @ + /`, and each part between `/` begins with a letter or a digit"
    return None


def _letters(text: str) -> str:
    """A name without the marks by which Thai writes vowels, and a Mac accents; those that nobody sees stay."""
    written = (c for c in text[1:] if unicodedata.category(c) not in ("Mn", "Mc") or _UNSEEN_MARK.match(c))
    return text[:1] + "".join(written)


def require_file_name(what: str, text: str) -> str:
    """The name itself.

    Args:
        what: what is named, as the message says it, such as `eval.tasks.0.name`.
        text: the name.

    Raises:
        ConfigError: it cannot name a file or a folder.
    """
    return _required(what, text, file_name_problem(text))


def require_model_name(what: str, text: str) -> str:
    """The name itself; like `require_file_name`, for the name of a served model."""
    return _required(what, text, model_name_problem(text))


def model_name_from(text: str) -> str:
    """The nearest name of a served model to any text, such as a folder's name: `my model` becomes `my-model`."""
    if model_name_problem(text) is None:
        return text
    return re.sub(r"[^\w.:@+]+", "-", text).strip("-.:@+")[:LONGEST] or "model"


def file_name_from(text: str, otherwise: str) -> str:
    """The nearest name of a file to any text: `Qwen/Qwen3-8B` becomes `Qwen_Qwen3-8B`.

    Args:
        otherwise: the name where nothing of the text can stand in one.
    """
    name = re.sub(r"[^\w.-]+", "_", text).lstrip("._-")[:LONGEST]
    return name.encode()[:_LONGEST_BYTES].decode(errors="ignore") or otherwise


def _required(what: str, text: str, problem: str | None) -> str:
    if problem:
        shown = text if len(text) <= LONGEST else f"{text[:20]}..."
        raise ConfigError(f"{what} is {shown!r}: a name {problem}", "choose another name, e.g. shop-v2")
    return text


def _validator(problem_of: Callable[[str], str | None]) -> Callable[[str], str]:
    def validate(text: str) -> str:
        problem = problem_of(text)
        if problem:
            raise ValueError(f"a name {problem}, e.g. shop-v2")
        return text

    return validate


FileName = Annotated[str, AfterValidator(_validator(file_name_problem))]
"""Field of a pydantic model whose value becomes a file or a folder."""
ModelName = Annotated[str, AfterValidator(_validator(model_name_problem))]
"""Field of a pydantic model whose value is the name of a served model."""


def _variable(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError("no name of an environment variable, e.g. TUNESERVE_API_KEY")
    # A recipe of somebody else could name HOME or LANG, whose value everybody guesses.
    if not re.search(r"(^|_)(API)?(KEY|TOKEN|SECRET|PASSWORD)\d*(_|$)", text.upper()):
        raise ValueError("no variable of a key: its name has KEY, TOKEN, SECRET or PASSWORD in it, e.g. SHOP_API_KEY")
    return text


VariableName = Annotated[str, AfterValidator(_variable)]
"""Field of a pydantic model whose value names an environment variable with a key, and stands in lines for a shell."""
