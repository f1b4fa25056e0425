"""What is handed from one stage to the next is one of these: read strictly, written whole."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator, with_config

from configs.disk.files import read_jsonl, write_jsonl
from configs.errors import TuneserveError
from configs.terminal.console import shell


class HandedOver(BaseModel):
    """Something that one stage writes and another reads; every field's docstring is its documentation.

    Computed fields are written down for readers of the file, and computed again when it is read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _without_computed(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        return {key: value for key, value in raw.items() if key not in cls.model_computed_fields}


Row = TypeVar("Row", bound=HandedOver)
Made = TypeVar("Made")


def write_rows(file: Path, rows: Iterable[HandedOver]) -> None:
    """Writes the rows of a stage, one a line, atomically."""
    write_jsonl(file, (row.model_dump(mode="json") for row in rows))


def read_rows(file: Path, kind: type[Row], stage: str) -> list[Row]:
    """The rows that a stage wrote, as `each_row`."""
    return list(each_row(file, kind, stage))


def each_row(file: Path, kind: type[Row], stage: str) -> Iterator[Row]:
    """The rows that a stage wrote, one after the other.

    Args:
        stage: the stage that writes them, for the next step.

    Raises:
        TuneserveError: the file is missing, or a line is not such a row; line, field and value are named.
    """
    run = next((folder for folder in file.parents if (folder / "config.yaml").is_file()), file.parent.parent)
    again = f"run the {stage} stage again: `{shell('tuneserve', 'train', run / 'config.yaml')}`"
    if not file.is_file():
        raise TuneserveError(f"{file}: missing; the {stage} stage writes it", again)
    for number, raw in read_jsonl(file):
        try:
            row = kind.model_validate(raw)
        except ValidationError as error:
            raise TuneserveError(f"{file}, line {number}: {what_is_wrong(error)}", again) from error
        yield row


def as_dataclass(kind: type[Made], raw: Any) -> Made:
    """What a file says, as a dataclass whose fields hold what their annotations say, and whose numbers are finite.

    A dataclass alone takes anything, and a list in the place of a score would be met in the middle of a calculation.

    Raises:
        ValueError: a field is missing, unknown or of another type; the first is named with the value seen.
    """
    try:
        adapter: TypeAdapter[Made] = _adapter(cast("Hashable", kind))
        return adapter.validate_python(raw)
    except ValidationError as error:
        raise ValueError(what_is_wrong(error)) from error


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(with_config(ConfigDict(extra="forbid", allow_inf_nan=False))(kind))


def what_is_wrong(error: ValidationError) -> str:
    """The first fault that pydantic found, as `facts.prepared.end_token_id: Field required (seen: ...)`."""
    fault = error.errors()[0]
    place = ".".join(map(str, fault["loc"])) or "the whole"
    seen = "" if fault["type"] == "missing" else f" (seen: {str(fault['input'])[:60]!r})"
    more = f", and {error.error_count() - 1} more" if error.error_count() > 1 else ""
    return f"{place}: {fault['msg']}{seen}{more}"
