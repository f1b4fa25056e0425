"""A recipe and its overrides become a `RunConfig`, or one report of everything that is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from configs.disk.files import file_bytes, parse_json
from configs.disk.homes import expanded
from configs.disk.yaml_text import KeyPath, parse_yaml, read_yaml
from configs.errors import ConfigError, first_line
from configs.recipe.keys import keys_of, sections
from configs.recipe.recipes import FOLDER, did_you_mean_recipe, recipes
from configs.recipe.schema import SHORTHANDS, RunConfig
from configs.terminal.nearest import nearest

_BRANCH = re.compile(r"(constrained-|function-|literal\[|list\[|dict\[)|(int|float|str|bool)$")
"""What pydantic calls a branch of a union."""
_ZERO = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Reads a YAML recipe, applies `section.key=value` overrides, and validates the result.

    Paths in the recipe are looked up beside the recipe first, then in the current folder; the returned config holds
    them absolute, so that it means the same from everywhere.

    Args:
        path: the YAML file, or the name of a recipe that comes with the project.
        overrides: strings such as `train.learning_rate=1e-4` or `eval.tasks.0.limit=50`; values are YAML.

    Raises:
        ConfigError: the file is missing or not YAML, or keys or values are wrong; all of them in one message.
    """
    file = Path(path)
    if not file.is_file() and str(path) in recipes():
        file = recipes()[str(path)]
    manifest = file.with_name("run.json")
    if not manifest.is_file():  # the copy that takes its place
        manifest = file.with_name(".run.json.before")
    in_run = file.name == "config.yaml" and manifest.is_file()
    if not file.is_file() and not in_run:
        raise ConfigError(f"{file}: no such recipe", _similar_recipe(file))
    raw, found = read_yaml(file) if file.is_file() else (_kept_in(manifest), {})
    lines: dict[KeyPath, int | str] = {**found}
    if not isinstance(raw, dict):
        raise ConfigError(
            f"{file}: a recipe is a mapping of keys, this is {type(raw).__name__}", "see `tuneserve init`"
        )
    if in_run:
        _where_it_lies(raw, file.parent.resolve(), lines)
    for override in overrides:
        apply_override(raw, override, lines)
    return validate(raw, file, lines)


def _kept_in(manifest: Path) -> Any:
    """The recipe of a run whose config.yaml is gone."""
    try:
        return parse_json(file_bytes(manifest))["config"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{manifest}: damaged, and config.yaml is gone: {first_line(error)}", "give the recipe that made this run"
        ) from error


def _where_it_lies(raw: dict[str, Any], run: Path, lines: dict[KeyPath, int | str]) -> None:
    """Has the recipe of a run mean the folder that it lies in: a run may have been moved, or be a copy of another."""
    written = Path(str(raw.get("output_dir"))) / str(raw.get("name"))
    if written.resolve() != run:
        raw |= {"output_dir": str(run.parent), "name": run.name}
        lines[("name",)] = f"the folder {run}"


def config_without_recipe(
    overrides: Sequence[str], allowed: Sequence[str], what: str, start: dict[str, Any] | None = None
) -> RunConfig:
    """Defaults and overrides alone, for what has no recipe: a plain model, or endpoints that run elsewhere.

    Args:
        overrides: as of `load_config`.
        allowed: sections and keys that mean something there, such as `serve`.
        what: how the error calls it.
        start: sections that the overrides go over.

    Raises:
        ConfigError: another key than those, or a wrong one.
    """
    raw: dict[str, Any] = {"name": "none", "model": "none", "data": {"sources": "none"}, **(start or {})}
    lines: dict[KeyPath, int | str] = {}
    for override in overrides:
        path = apply_override(raw, override, lines)
        if path[0] not in allowed:
            names = ", ".join(f"{name}.*" if _is_section(name) else name for name in allowed)
            raise ConfigError(f"override {override!r}: {what} has no recipe, only {names}", "leave it out")
    return validate(raw, Path("overrides"), lines)


def validate(raw: dict[str, Any], file: Path, lines: dict[KeyPath, int | str] | None = None) -> RunConfig:
    """Validates a mapping read from `file`; `lines` maps key paths to line numbers for the error report."""
    try:
        config = RunConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(
            _report(error, file, lines or {}), "mend the keys above, then run the command again"
        ) from None
    try:
        if _ZERO.search(config.model_dump_json()):
            raise ConfigError(f"{file}: holds the character U+0000, which no recipe can hold", "take it out")
    except PydanticSerializationError as error:
        raise ConfigError(
            f"{file}: holds text that is not UTF-8, which no recipe can hold: {first_line(error)}",
            "write the value in UTF-8, or rename the file that it names",
        ) from error
    return _absolute_paths(config, file.resolve().parent)


def dump_config(config: RunConfig) -> str:
    """The resolved recipe as YAML, every key written out; loading it gives the same config."""
    return yaml.safe_dump(config.model_dump(mode="json"), allow_unicode=True, sort_keys=False, width=120)


def apply_override(raw: dict[str, Any], override: str, lines: dict[KeyPath, int | str]) -> KeyPath:
    """Sets one `section.key=value` in place and returns its key path; faults there are the override's from now on.

    Raises:
        ConfigError: there is no `=`, or a part of the path leads through something that is not a mapping or list.
    """
    key, sep, value = override.partition("=")
    if not sep or not key.strip():
        raise ConfigError(f"override {override!r}: expected section.key=value", "e.g. train.learning_rate=1e-4")
    parts: list[str | int] = [int(p) if p.isdecimal() and len(p) < 7 else p for p in key.strip().split(".")]
    here: Any = raw
    for part, following in pairwise(parts):
        if isinstance(part, int):
            if not isinstance(here, list) or part >= len(here):
                raise ConfigError(f"override {override!r}: there is no item {part}", "items are counted from 0")
            if isinstance(here[part], str) and parts[:2] == ["data", "sources"]:
                here[part] = {"path": here[part]}
            here = here[part]
        elif isinstance(here, dict):
            if not isinstance(here.get(part), dict | list):
                if isinstance(following, int):
                    raise ConfigError(
                        f"override {override!r}: {part!r} is not a list in this recipe", "set the whole list"
                    )
                short = SHORTHANDS.get(part) if isinstance(here.get(part), str) else None
                here[part] = {short: here[part]} if short else {}
            here = here[part]
        else:
            raise ConfigError(
                f"override {override!r}: {part!r} is inside a value, not a section", "see `tuneserve init`"
            )
    try:
        parsed = parse_yaml(value) if value.strip() else None
    except ValueError as error:
        raise ConfigError(f"override {_short(override)}: the value is not YAML: {error}", "quote it") from error
    # YAML 1.1 reads 2e-5 as text, because it has no point; every user means the number.
    if isinstance(parsed, str):
        parsed = _number(parsed)
    last = parts[-1]
    if not isinstance(here, dict | list):
        raise ConfigError(f"override {override!r}: {last!r} is inside a value, not a section", "see `tuneserve init`")
    if isinstance(here, list):
        if not isinstance(last, int) or last >= len(here):
            raise ConfigError(f"override {override!r}: there is no item {last!r}", "items are counted from 0")
        here[last] = parsed
    else:
        here[last] = parsed
    place = tuple(parts)
    for replaced in [known for known in lines if known[: len(place)] == place]:
        del lines[replaced]
    lines[place] = f"override {override!r}"
    return place


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}…"


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _is_section(name: str) -> bool:
    return any(True for _ in sections(RunConfig.model_fields[name].annotation))


def _report(error: ValidationError, file: Path, lines: dict[KeyPath, int | str]) -> str:
    found = []
    for loc, problem in _by_key(error).items():
        line = next((lines[loc[:n]] for n in range(len(loc), 0, -1) if loc[:n] in lines), None)
        where = f"{file}:{line}" if isinstance(line, int) else f"{file}" if line is None else str(line)
        key = ".".join(str(part) for part in loc)
        found.append(f"{where}: {_explain(problem, key, loc)}")
    unique = list(dict.fromkeys(found))
    count = f"{len(unique)} error{'s' if len(unique) > 1 else ''} in the configuration"
    return "\n".join([count, *(f"  {line}" for line in unique)])


def _by_key(error: ValidationError) -> dict[KeyPath, dict[str, Any]]:
    """The problem of each key; of a union, what every branch of it would have taken."""
    found: dict[KeyPath, dict[str, Any]] = {}
    for problem in error.errors():
        # pydantic puts the branch that it tried into the path; only keys that exist in the file mean something.
        loc: KeyPath = tuple(part for part in problem["loc"] if not _BRANCH.match(str(part)))
        if loc in found:
            found[loc]["msg"] += f" or {problem['msg'].removeprefix('Input should be ')}"
        else:
            found[loc] = dict(problem)
    return found


def _explain(problem: Any, key: str, loc: KeyPath) -> str:
    if problem["type"] == "extra_forbidden":
        siblings = _keys_beside(loc)
        near = nearest(str(loc[-1]), siblings, n=1, cutoff=0.5)
        if not near:
            elsewhere = [key.name for key in keys_of(RunConfig) if key.name.rsplit(".", 1)[-1] == loc[-1]]
            near = elsewhere[:1] or nearest(str(loc[-1]), siblings, n=1, cutoff=0.0)
        hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(siblings)}"
        return f"unknown key `{key}`; {hint}"
    if problem["type"] == "missing":
        return f"`{key}` is required"
    return f"`{key}`: {problem['msg'].removeprefix('Value error, ')}, got {_short(problem['input'])}"


def _keys_beside(loc: KeyPath) -> list[str]:
    section: type[BaseModel] = RunConfig
    for part in loc[:-1]:
        if isinstance(part, int) or part not in section.model_fields:
            continue
        nested = list(sections(section.model_fields[part].annotation))
        if nested:
            section = nested[0]
    return list(section.model_fields)


def _absolute_paths(config: RunConfig, beside: Path) -> RunConfig:
    def source(s: Any) -> Any:
        return s.model_copy(update={"path": resolve_path(s.path, beside)})

    data = config.data
    changes: dict[str, Any] = {"sources": [source(s) for s in data.sources]}
    if data.heldout:
        changes["heldout"] = source(data.heldout)
    if data.replay and data.replay.given:
        changes["replay"] = data.replay.model_copy(update={"source": source(data.replay.given)})
    tasks = [t.model_copy(update={"path": resolve_path(t.path, beside)}) if t.path else t for t in config.eval.tasks]
    train, foreign = config.train, config.foreign
    if train.continue_from:
        train = train.model_copy(update={"continue_from": resolve_path(train.continue_from, beside)})
    if foreign:
        named = {key: getattr(foreign, key) for key in ("model", "adapter", "template")}
        foreign = foreign.model_copy(update={k: resolve_path(path, beside) for k, path in named.items() if path})
    return config.model_copy(
        update={
            "model": resolve_path(config.model, beside),
            "output_dir": _written(expanded(config.output_dir).absolute()),
            "data": data.model_copy(update=changes),
            "foreign": foreign,
            "train": train,
            "eval": config.eval.model_copy(update={"tasks": tasks}),
        }
    )


def resolve_path(value: str, beside: Path) -> str:
    """A path that exists beside the recipe or in the current folder, made absolute; else the value as it is (a hub id).

    A sample suffix (`rows.jsonl#500`) is kept. A value that is plainly a path (it starts with `.`, `/` or `~`) is made
    absolute even when nothing is there, so that the error names the place that was looked at.
    """
    path, sep, sample = value.partition("#")
    place = expanded(path)
    # What is embedded is found from everywhere: `demo/model` is the demo's model.
    embedded = [FOLDER / place] if path.startswith("demo/") else []
    for candidate in (beside / place, Path.cwd() / place, *embedded):
        if candidate.exists() or (any(c in path for c in "*?[") and list(candidate.parent.glob(candidate.name))):
            return _written(candidate.resolve()) + sep + sample
    if place.is_absolute() or path.startswith((".", "~")):
        # Nobody keeps rows beside the recipes that come with the project.
        return _written(((Path.cwd() if beside == FOLDER else beside) / place).resolve()) + sep + sample
    return value


def _written(place: Path) -> str:
    """A path as recipes, manifests and reports hold it.

    Raises:
        ConfigError: a folder's name is not UTF-8, which none of them can hold.
    """
    text = str(place)
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ConfigError(f"{text}: this path is not UTF-8, and no recipe can hold it", "rename the folder or file")
    return text


def _similar_recipe(file: Path) -> str:
    hint = did_you_mean_recipe(file.stem)
    return f"{hint}{' ' if hint else ''}`tuneserve init` lists the recipes"
