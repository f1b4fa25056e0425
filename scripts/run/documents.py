"""What `tuneserve data from-docs` does: read documents, have their passages asked about, write rows, report and recipe.

OUT/ belongs to the command from its first run on. `asked/` holds what was settled and every reply as it came, so that
the same command goes on after a kill and asks nothing twice; everything else is written anew from it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from configs.disk.files import file_bytes, json_line, parse_json, write_atomically
from configs.disk.locks import locked
from configs.errors import ConfigError, DataError, TuneserveError
from configs.network.hub import resolve_model
from configs.recipe.names import file_name_from, model_name_from
from configs.recipe.schema import RunConfig
from configs.terminal.console import console, note, ours, shell, starting, warn
from configs.terminal.words import Words
from eval.ask.endpoint import Endpoint
from eval.documents.asked import Replies
from eval.documents.make import Made, Plan, Settings, make, plan
from eval.documents.passages import MOST, Passage
from eval.documents.prompts import LAYOUT, longest_reply
from eval.documents.reading import Folder, Unread, read_folder
from eval.documents.recipe import recipe_of
from eval.documents.writer import Unanswered, Wanted, ask_about, refuse_too_many
from eval.report.documents import render_documents
from eval.report.words import ReportWords
from scripts.run.asking import endpoints_settings
from scripts.run.serving import OnDemand, endpoint_of
from scripts.run.writing import writing_progress
from serve.api.adapters import served_models
from serve.launch.target import folder_target

TRAINED_BY_DEFAULT = "Qwen/Qwen3-8B"
"""Model of the recipe where an endpoint writes and no base is named."""
_STATE = "settings.json"
_CURATED = ("train.jsonl", "held_out.jsonl")
"""What a person may have worked on: never written over once it was changed."""
_PROMPT_TOKENS = 450
"""Of the system prompt, headings and the chat template around a passage."""
_COMPACT = ("--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}')
"""Held to JSON, a model may write spaces until its reply is full; this way there are none between the parts."""
_LONGEST_NAME = 200
"""Bytes; a file system takes 255, with what is added while it is written."""
_SHOWN = 5


@dataclass(frozen=True)
class Writer:
    """Who writes: an endpoint, or a base that is served for it."""

    model: str
    """Name at the endpoint, or of the served base."""
    base_url: str | None
    """Address of an endpoint; None serves the base here."""
    base: str | None
    """Folder or hub id of the base."""


def writer_of(endpoint: str | None, model: str | None, base: str | None) -> Writer:
    """Who writes, by what was given on the command line.

    Raises:
        ConfigError: nobody, or half of an endpoint.
    """
    if endpoint and not model:
        raise ConfigError(
            f"--endpoint {endpoint} was given without --model", f"name one: curl {endpoint.rstrip('/')}/models"
        )
    if endpoint and model:
        return Writer(model, endpoint, base)
    if model:
        raise ConfigError(
            f"--model {model} was given without --endpoint", "give both; or --base MODEL, which is served here"
        )
    if not base:
        raise ConfigError(
            "nobody is named who writes", "--base Qwen/Qwen3-8B is served here for it; or --endpoint URL --model NAME"
        )
    return Writer(model_name_from(Path(base).resolve().name if Path(base).is_dir() else base), None, base)


def from_docs(
    place: Path, out: Path, writer: Writer, settings: Settings, config: RunConfig, words: ReportWords
) -> Made:
    """Makes rows of a folder of documents.

    Args:
        place: the folder, or one document.
        out: where everything is written.
        writer: who writes.
        settings: what is made.
        config: its `serve` and `eval` sections, hub and offline.
        words: language of the report.

    Raises:
        ConfigError: `out` holds files of someone else's, or was made with other settings.
        DataError: nothing can be read, or no row came out.
        EndpointError: the endpoint cannot be asked, or answered too few.
    """
    _refuse_others(place, out)
    out.mkdir(parents=True, exist_ok=True)
    busy = TuneserveError(f"{out}: another command is writing there", "wait for it, or give another --out")
    with locked(out, busy):
        replies = Replies(out / "asked" / "replies.jsonl")
        state = _State.opened(out, place, writer, settings, config)
        state.refuse_changed_rows()
        if replies.by_passage:
            state.refuse_other_settings()
        folder = _read(place)
        planned = plan(folder.documents, settings)
        missing = [passage for passage in planned.passages if passage.key not in replies.by_passage]
        _say_plan(folder, planned, len(missing))
        state.save()
        unanswered = Unanswered()
        if missing:
            with _asked(writer, settings, config, out) as endpoint:
                unanswered = _ask(endpoint, missing, settings, config, replies)
        failed = unanswered.kinds.total()
        made = make(str(place), folder, planned, replies, settings, writer.model, failed)
        _write(out, made, folder, state, writer, config, words)
        if not made.train:
            raise _no_row(made, out)
        return made


def _refuse_others(place: Path, out: Path) -> None:
    """Raises a ConfigError where the folder is not ours to write to."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file", "give --out another folder")
    if place.is_dir() and out.resolve().is_relative_to(place.resolve()):
        raise ConfigError(f"--out {out} lies inside {place}: what is written would be read as documents",
                          "give --out a folder beside it")  # fmt: skip
    found = sorted(file.name for file in out.iterdir()) if out.is_dir() else []
    # A command that was killed at its very beginning leaves the folder of its settings, and nothing else.
    if found not in ([], ["asked"]) and not (out / "asked" / _STATE).is_file():
        raise ConfigError(
            f"{out}: holds files already ({', '.join(found[:3])}{', …' if len(found) > 3 else ''})",
            "give --out a new or empty folder",
        )


@dataclass
class _State:
    """OUT/asked/settings.json: what was settled, and what was written."""

    file: Path
    asked: Mapping[str, Any]
    """What replies depend on; another one needs another folder."""
    chosen: Mapping[str, Any]
    """What only decides which passages and rows are taken."""
    written: dict[str, list[str]]
    """SHA-256 of what each file may be: as it was written, and as it was about to be when a command was killed."""
    before: Mapping[str, Mapping[str, Any]]
    """`asked` and `chosen` of the command before this one; empty for the first."""

    @classmethod
    def opened(cls, out: Path, place: Path, writer: Writer, settings: Settings, config: RunConfig) -> _State:
        """The state of a folder.

        Raises:
            ConfigError: its file is damaged.
        """
        every = asdict(settings)
        chosen = {name: every.pop(name) for name in ("held_out", "limit", "seed", "with_passage")}
        asked = {"layout": LAYOUT, "documents": str(place.resolve()), "model": writer.model, **every}
        asked |= {"thinking": config.thinking, "temperature": config.eval.temperature}
        file = out / "asked" / _STATE
        if not file.is_file():
            return cls(file, asked, chosen, {}, {})
        try:
            before = parse_json(file_bytes(file))
            known = {part: dict(before[part]) for part in ("asked", "chosen")}
            written = {name: [*map(str, digests)] for name, digests in before["written"].items()}
            outside = [name for name in written if name.startswith("/") or ".." in name.split("/")]
            if outside:
                raise ValueError(f"written: {outside[0]} lies outside the folder")
            return cls(file, asked, chosen, written, known)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ConfigError(f"{file}: damaged: {error}", "give another --out") from error

    def refuse_changed_rows(self) -> None:
        """Raises a ConfigError where somebody worked on the rows since they were written."""
        out = self.file.parent.parent
        for name in _CURATED:
            if name in self.written and _digest(out / name) not in (*self.written[name], ""):
                raise ConfigError(
                    f"{out / name} was changed since it was written",
                    f"keep your work: {shell('mv', out / name, out.parent)}; the command then writes the file anew",
                )

    def refuse_other_settings(self) -> None:
        """Says which choices are others than before.

        Raises:
            ConfigError: the replies that are there were asked for with other settings.
        """
        old, out = self.before.get("asked", {}), self.file.parent.parent
        differing = [f"{k} was {old.get(k)!r}, now {value!r}" for k, value in self.asked.items() if old.get(k) != value]
        if differing:
            raise ConfigError(
                f"{out} was made with other settings: {'; '.join(differing)}", "give the same ones, or another --out"
            )
        taken = self.before.get("chosen", {})
        for name, value in self.chosen.items():
            if taken.get(name) != value:
                note(f"{name} was {taken.get(name)}, now {value}: rows may change sides")

    def save(self) -> None:
        """Writes it down."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        whole = {"asked": self.asked, "chosen": self.chosen, "written": self.written}
        write_atomically(self.file, json.dumps(whole, ensure_ascii=False, indent=1) + "\n")


def _digest(file: Path) -> str:
    """SHA-256 of a file; "" where there is none."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def _text_file(name: str) -> str:
    """Where the text of a document goes; a name that leaves no room for an ending is cut.

    A folder `a.md.txt` becomes `a.md.txt_`: a document `a.md` beside it has its text under the other name.
    """
    folder, _, last = name.rpartition("/")
    folder = re.sub(r"(\.txt_*)(?=/|$)", r"\1_", folder)
    if len(last.encode()) > _LONGEST_NAME:
        code = hashlib.sha256(last.encode()).hexdigest()[:8]
        last = f"{last.encode()[: _LONGEST_NAME - 9].decode(errors='ignore')}-{code}"
    return "/".join(filter(None, ("texts", folder, f"{last}.txt")))


def _read(place: Path) -> Folder:
    starting("read", str(place))
    if not console.is_terminal:
        return read_folder(place)
    with console.status("") as status:
        return read_folder(place, lambda name: status.update(ours(f"  now reading {name}")))


def _say_plan(folder: Folder, planned: Plan, missing: int) -> None:
    note(f"{len(folder.documents)} documents, {sum(planned.counts.values())} passages", good=True)
    for document in folder.documents:
        for said in document.notes:
            note(f"{document.name}: {said}")
    for line in unread_lines(folder.unread):
        warn(f"not read: {line}")
    for group in planned.split.copies:
        note(f"nearly the same, and kept on one side: {', '.join(group)}")
    for reason, count in planned.not_asked.items():
        note(f"{count} passages are not asked about: {Words.chosen().say(f'documents.not_asked.{reason}')}")
    if planned.split.by == "section":
        note("one document only, or copies of one: its sections are held out, not whole documents")
    done = len(planned.passages) - missing
    note(f"{missing} passages to ask about" + (f", {done} were answered before" if done else ""))


def unread_lines(unread: Sequence[Unread]) -> list[str]:
    """A line for each reason, with the first files of it."""
    by_reason: dict[str, list[str]] = {}
    for one in unread:
        by_reason.setdefault(one.why, []).append(one.name)
    return [
        f"{', '.join(names[:_SHOWN])}{f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''}: {why}"
        for why, names in by_reason.items()
    ]


@contextmanager
def _asked(writer: Writer, settings: Settings, config: RunConfig, out: Path) -> Iterator[Endpoint]:
    """The endpoint that is asked: the given one, or the base, served for as long as the block runs."""
    if writer.base_url is not None:
        yield Endpoint(writer.base_url, writer.model, "writer")
        return
    assert writer.base is not None
    weights = resolve_model(writer.base, config.hub, config.offline)
    needed = round(MOST * settings.passage_tokens) + _PROMPT_TOKENS
    needed += longest_reply(settings.style, settings.per_passage)
    serve = config.serve.model_copy(update={"args": [*_COMPACT, *config.serve.args]})
    with OnDemand(lambda: folder_target(weights, writer.model, False), serve, out / "serve.log") as server:
        served = server.up()
        context = next((one.context for one in served_models(served.client) if one.name == writer.model), None)
        if context is not None and context < needed:
            raise ConfigError(
                f"{writer.base} has a context of {context:,} tokens here; passage, prompt and reply need {needed:,}",
                "give a smaller --passage-tokens or --per-passage, or a larger serve.max_model_len",
            )
        yield endpoint_of(served, writer.model, "writer")


def _ask(
    endpoint: Endpoint, missing: Sequence[Passage], settings: Settings, config: RunConfig, replies: Replies
) -> Unanswered:
    # A model that can think writes pairs at once unless it is told to think.
    how = replace(endpoints_settings(config), thinking=config.thinking)
    with writing_progress("data") as show:
        unanswered = ask_about(
            endpoint,
            how,
            [(passage, settings.spoken(passage)) for passage in missing],
            Wanted(settings.per_passage, settings.style),
            replies,
            show,
        )
    refuse_too_many(unanswered, len(missing), endpoint, how.max_error_rate)
    if unanswered.kinds:
        warn(f"{unanswered.kinds.total()} passages got no answer; the same command asks them again")
    return unanswered


def _write(
    out: Path, made: Made, folder: Folder, state: _State, writer: Writer, config: RunConfig, words: ReportWords
) -> None:
    """Writes everything that follows from the replies; a recipe that was changed by hand stays."""
    files: dict[str, Callable[[], str]] = {
        "train.jsonl": lambda: "".join(map(json_line, made.train)),
        "held_out.jsonl": lambda: "".join(map(json_line, made.held_out)),
        "rejected.jsonl": lambda: "".join(map(json_line, made.rejected)),
        "report.json": lambda: made.report.model_dump_json(indent=1) + "\n",
        "report.html": lambda: render_documents(made.report, words),
    }
    for document in folder.documents:
        files[_text_file(document.name)] = lambda text=document.text: text  # type: ignore[misc]
    recipe = out / "recipe.yaml"
    if made.train and _digest(recipe) in ("", *state.written.get("recipe.yaml", ())):
        name = file_name_from(out.resolve().name, "documents")
        trained = str(Path(writer.base).resolve()) if writer.base and Path(writer.base).is_dir() else writer.base
        files["recipe.yaml"] = lambda: recipe_of(made, name, trained or TRAINED_BY_DEFAULT, config.hub)
    elif made.train:
        note(f"{recipe} was changed by you, and stays as it is")
    for old in state.written.keys() - files.keys():
        if old.startswith("texts/"):
            (out / old).unlink(missing_ok=True)
            del state.written[old]
    texts = {file: text() for file, text in files.items()}
    digests = {file: hashlib.sha256(text.encode()).hexdigest() for file, text in texts.items()}
    # Noted before it is written: a file that was written when the command was killed is no one else's work.
    state.written |= {file: [*state.written.get(file, ()), digest] for file, digest in digests.items()}
    state.save()
    for file, text in texts.items():
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out / file, text)
    state.written |= {file: [digest] for file, digest in digests.items()}
    state.save()


def _no_row(made: Made, out: Path) -> DataError:
    report, say = made.report, Words.chosen().say
    why = [
        *(f"{count} {say(f'documents.reply.{name}')}" for name, count in report.replies.items()),
        *(f"{count} {say(f'documents.fault.{name}')}" for name, count in report.rejected.items()),
    ]
    return DataError(
        f"no row to train came out of {report.pairs} pairs: {'; '.join(why[:6]) or 'nothing was written'}",
        f"look at {out / 'rejected.jsonl'}; a larger model writes better ones, such as --base {TRAINED_BY_DEFAULT}",
    )
