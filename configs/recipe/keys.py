"""Every key of a recipe with type, default and meaning, read from the schema: for `init --keys`, docs and errors."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

_PLAIN = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null", Any: "anything"}
_BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


@dataclass(frozen=True)
class Key:
    """One key."""

    name: str
    """As an override names it, such as `train.learning_rate`; an item of a list has a star, `eval.tasks.*.limit`."""
    kind: str
    """What a value may be: `number > 0`, or the words that are allowed; `section` for what holds other keys."""
    default: str
    """As YAML; `required` where there is none, empty for a section."""
    meaning: str


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[Key]:
    """Every key of a section and of the sections in it, in the schema's order."""
    for name, field in model.model_fields.items():
        nested = list(sections(field.annotation))
        listed = get_origin(_bare(field.annotation)) is list
        default = "required" if field.is_required() else _written(field)
        kind = ("list of sections" if listed else "section") if nested else _kind(field.annotation, field.metadata)
        yield Key(prefix + name, kind, default, field.description or "")
        for section in nested:
            yield from keys_of(section, f"{prefix}{name}.{'*.' if listed else ''}")


def sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that a key's type holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for arg in get_args(annotation):
        yield from sections(arg)


def _written(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    return (
        yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=1000).removesuffix("\n...\n").strip()
    )


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _kind(annotation: Any, metadata: Any = ()) -> str:
    """A type in words, with its bounds."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(args[0], [*args[1:], *metadata])
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_kind(arg, metadata if i == 0 else ()) for i, arg in enumerate(args)))
    if origin is Literal:
        return ", ".join(str(arg) for arg in args)
    if origin is list:
        return f"list of: {_kind(args[0])}"
    if origin is dict:
        return f"mapping of {_kind(args[0])} to {_kind(args[1])}"
    words = _PLAIN.get(annotation, str(annotation))
    bounds = []
    for each in _flat(metadata):
        for attribute, sign in _BOUNDS.items():
            if (bound := getattr(each, attribute, None)) is not None:
                shown = f"{bound:g}" if isinstance(bound, float) or bound < 10**6 else ""
                bounds += [f"{sign} {shown}"] if shown else []
    return " ".join([words, ", ".join(bounds)]) if bounds else words


def _flat(metadata: Any) -> Iterator[Any]:
    for each in metadata:
        if isinstance(each, FieldInfo):
            yield from _flat(each.metadata)
        elif isinstance(each, annotated_types.BaseMetadata):
            yield each
