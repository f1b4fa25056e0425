"""The data stage: sources in, token rows, held-out questions and the data report out.

`python -m trainer data RUN`. What was prepared once is kept under the content's hash (`TUNESERVE_CACHE`, else the
user's cache folder), so that a second call, or a `check` before a `train`, costs no tokenizing.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from configs import handover
from configs.cache.entries import alone, forget_old
from configs.cache.folder import private_cache
from configs.disk.files import copy_folder, found_no_room, remove_folder, sync_folder
from configs.errors import ConfigError, DataError
from configs.handover.base import write_rows
from configs.handover.rows import HeldoutRow, ParityRow
from configs.handover.training import PreparedFacts
from configs.model.files import read_json, text_config
from configs.model.fingerprint import files_fingerprint, tokenizer_fingerprint
from configs.recipe.schema import RunConfig
from configs.run.predecessor import trained_base
from configs.run.rundir import RunDir
from configs.tables import CODE as CODE_OF_TABLES
from configs.terminal.console import again, shell, warn
from trainer.architectures import check_architecture
from trainer.data import past
from trainer.data.corpus import gather
from trainer.data.identity import question_identity
from trainer.data.layouts import Conversation
from trainer.data.report import DataReport, check_usable, data_warnings, make_report, preview_row
from trainer.data.rows import Progress, Tokenized, tokenize_all
from trainer.data.sources import fingerprint
from trainer.data.tally import Tally
from trainer.data.template import ChatCodec, TokenRow, answer_text, check_thinking
from trainer.requirements import check_driver, check_model_needs, check_needs

TEXTS = "texts.parquet"
"""What was trained as texts, a conversation a row: `asked` before its answers, and `said` in those that are trained."""
TEXT_COLUMNS = pa.schema({"asked": pa.list_(pa.string()), "said": pa.list_(pa.string())})
FILES = ("train", "heldout", TEXTS, "parity.jsonl", "heldout.jsonl", past.FILE, "data_report.json")
"""What the stage leaves in RUN/data; `train` and `heldout` are folders with one Parquet file each."""

_CODE = [*Path(__file__).parent.glob("*.py"), *CODE_OF_TABLES]
_PREVIEW_ROWS = 8


@dataclass(frozen=True)
class Prepared:
    """Where prepared data lie, and what is in them."""

    folder: Path
    """Holds FILES."""
    report: DataReport
    cached: bool
    """Whether it was there already."""


def prepare(config: RunConfig, model: Path, progress: Progress | None = None) -> Prepared:
    """Prepares the data of a recipe for the tokenizer in `model`, or finds them prepared.

    Raises:
        DataError: a source cannot be used, or more was dropped than data.max_dropped.
        ConfigError: the tokenizer has no usable chat template, or not the thinking mode that is asked for.
    """
    root = private_cache("data")
    folder = root / content_key(config, model)
    with alone(folder):
        cached = all((folder / name).exists() for name in FILES)
        if not cached:
            # Its name is this key's own, whose lock is held: what a kill leaves is cleared by the next call.
            unfinished = root / f".{folder.name}.partial"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            try:
                _prepare_into(unfinished, config, model, progress)
                # Rows of a newer file must not be kept, and found again, under the older one's hash.
                if content_key(config, model) != folder.name:
                    raise DataError(
                        "the data or the tokenizer changed while they were read",
                        "call again when nothing writes to them",
                    )
                sync_folder(unfinished)
                shutil.rmtree(folder, ignore_errors=True)
                unfinished.rename(folder)
            except OSError as error:
                if error.filename is None and found_no_room(error):  # nobody has named this folder
                    error.filename = str(root)
                raise
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
        os.utime(folder)
    forget_old(root, keep=folder)
    report = DataReport.load(folder / "data_report.json")
    check_usable(report, config.data)
    return Prepared(folder, report, cached)


def data_stage(
    run: RunDir, config: RunConfig, *, force: bool = False, progress: Progress | None = None
) -> DataReport | None:
    """Fills RUN/data and the manifest's facts about the data; None when nothing changed since the last time."""
    if config.foreign is not None:
        raise ConfigError(f"{run.path}: judges a model and trains none", shell("tuneserve", "judge", run.path))
    model = trained_base(config, weights=False)
    warning = check_architecture(model)
    trained = run.read().stages.get("train")
    if trained is None or trained.state != "done":
        check_driver()
        check_needs(config)
        check_model_needs(config, model)
    # Only now the weights, which take long to download.
    model = trained_base(config)
    inputs = data_inputs(config, model) | {"base_model": str(model)}
    why = run.changed_since("data", inputs)
    if why is None and not force:
        return None
    again("data", why)
    outputs = [run.data / name for name in FILES]
    if warning:
        warn(warning)
    if warning := past.past_warning(config):
        warn(warning)
    with run.stage("data", inputs, outputs) as record:
        prepared = prepare(config, model, progress)
        put_in_place(prepared, run.data)
        report = prepared.report
        for warning in data_warnings(report, config):
            warn(warning)
        run.update(prepared=prepared_facts(config, model, report), hashes={"data": inputs["data"]})
        record.figures |= {
            "cached": prepared.cached,
            "train_rows": report.train_rows,
            "heldout_rows": report.heldout_rows,
            "trained_tokens": report.trained_tokens,
            "train_tokens": report.train_tokens,
            "longest_row": report.longest_row,
            "dropped": {name: r.count for name, r in report.reasons.items() if r.rule.startswith("dropped")},
        }
    return report


def prepared_facts(config: RunConfig, model: Path, report: DataReport) -> PreparedFacts:
    """What the stages after this one need to know."""
    template = report.template
    return PreparedFacts(
        base_model=model,
        family=template.family,
        thinking=config.thinking,
        end_token=template.end_token,
        end_token_id=template.end_token_id,
        template_sha256=template.sha256,
        system=config.data.system,
        longest_row=report.longest_row,
    )


def data_inputs(config: RunConfig, model: Path) -> dict[str, Any]:
    """What the data stage depends on, for the manifest."""
    keys = config.data.model_dump(mode="json", exclude={"workers", "selfmade"})
    named = {f"data.{key}": value for key, value in keys.items()}
    if config.replays_itself:
        named["data.replay"] = None  # those rows are made later, by the base
    return named | {
        "thinking": config.thinking,
        "seed": config.seed,
        "proof.parity_rows": config.proof.parity_rows,
        "tokenizer": tokenizer_fingerprint(model),
        "data": _sources_fingerprint(config),
        "trained_before": files_fingerprint([before]) if (before := past.past_file(config)) else None,
    }


def content_key(config: RunConfig, model: Path) -> str:
    """Hash of everything that the prepared data depend on, this code included."""
    code = files_fingerprint([*sorted(_CODE), *sorted(Path(handover.__file__).parent.glob("*.py"))])
    inputs = data_inputs(config, model) | {"embeddings": _embeddings(model)}
    # It decides about stopping, not about what is prepared.
    del inputs["data.max_dropped"]
    return hashlib.sha256(json.dumps([inputs, code], sort_keys=True).encode()).hexdigest()[:32]


def read_rows(folder: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows in RUN/data/train or RUN/data/heldout: id, conversation, input_ids, labels, length, said.

    `columns` are those that are wanted; the others are not read from the disk.
    """
    return pq.read_table(folder / "rows.parquet", columns=columns)


def _prepare_into(folder: Path, config: RunConfig, model: Path, progress: Progress | None) -> None:
    codec = ChatCodec.load(model)
    check_thinking(codec.facts, config.thinking)
    tally = Tally()
    corpus = gather(config, tally)
    every = [*corpus.train, *corpus.heldout]
    tokenized = tokenize_all(codec, every, config.data, thinking=config.thinking, progress=progress)
    for conversation, result in zip(every, tokenized, strict=True):
        _refuse_unknown_ids(codec, model, conversation, result)
        for reason, dropped in result.reasons:
            tally.add(reason, conversation.place, dropped)
    split = len(corpus.train)
    train, heldout = tokenized[:split], tokenized[split:]
    train_rows = _write_rows(folder / "train", corpus.train, train, corpus.copies)
    heldout_rows = _write_rows(folder / "heldout", corpus.heldout, heldout, [1] * len(heldout))

    _write_texts(folder / TEXTS, corpus.train, train)
    past.write_asked(corpus.asked, folder / past.FILE)
    pick = random.Random(f"{config.seed} parity")
    order = pick.sample(range(split), split)
    write_rows(folder / "parity.jsonl", _parity(config, corpus.train, train, order))
    write_rows(folder / "heldout.jsonl", _questions(corpus.heldout, heldout, tally))
    shown = [i for i in order if train[i].rows][:_PREVIEW_ROWS]
    last = [(corpus.train[i].place, train[i].rows[-1]) for i in shown]
    preview = [preview_row(codec, place, row.input_ids, row.labels) for place, row in last]
    kept = (sum(bool(t.rows) for t in train), sum(bool(t.rows) for t in heldout))
    make_report(corpus, tally, codec.facts, train_rows, heldout_rows, preview, kept).save(folder / "data_report.json")


def _refuse_unknown_ids(codec: ChatCodec, model: Path, conversation: Conversation, tokenized: Tokenized) -> None:
    """Raises a ConfigError where a row holds a token that the model has no embedding for."""
    known = _embeddings(model)
    for row in tokenized.rows:
        if known is not None and (largest := int(row.input_ids.max(initial=0))) >= known:
            token = codec.tokenizer.convert_ids_to_tokens(largest)
            raise ConfigError(
                f"{conversation.place}: the tokenizer of {model} gives {token!r} the id {largest}, and the model has "
                f"embeddings for {known} tokens",
                "take tokenizer and weights of the same model, or resize it (model.resize_token_embeddings)",
            )


def _embeddings(model: Path) -> int | None:
    found = text_config(read_json(model / "config.json")).get("vocab_size")
    return found if isinstance(found, int) else None


def _write_rows(
    folder: Path, conversations: Sequence[Conversation], tokenized: Sequence[Tokenized], copies: Sequence[int]
) -> list[TokenRow]:
    rows, ids, places = [], [], []
    for conversation, result, times in zip(conversations, tokenized, copies, strict=True):
        for _ in range(times):
            for number, row in enumerate(result.rows):
                rows.append(row)
                ids.append(f"{conversation.place}/{number}")
                places.append(conversation.place)
    lengths = np.array([len(row.input_ids) for row in rows], dtype=np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])

    def lists(arrays: list[np.ndarray]) -> pa.Array:
        flat = np.concatenate(arrays) if arrays else np.empty(0, dtype=np.int32)
        return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(flat))

    table = pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "conversation": pa.array(places, pa.string()),
            "input_ids": lists([row.input_ids for row in rows]),
            "labels": lists([row.labels for row in rows]),
            "length": pa.array(lengths),
            "said": pa.array([list(row.said) for row in rows], pa.list_(pa.string())),
        }
    )
    folder.mkdir()
    pq.write_table(table, folder / "rows.parquet", compression="zstd")
    return rows


def _write_texts(file: Path, conversations: Sequence[Conversation], tokenized: Sequence[Tokenized]) -> None:
    used = [(c, t) for c, t in zip(conversations, tokenized, strict=True) if t.rows]
    asked = [[m["content"] for m in c.messages if m["role"] != "assistant" and m["content"]] for c, _ in used]
    said = [[text for row in t.rows for text in row.said] for _, t in used]
    pq.write_table(pa.table([asked, said], schema=TEXT_COLUMNS), file, compression="zstd")


def _parity(
    config: RunConfig,
    conversations: Sequence[Conversation],
    tokenized: Sequence[Tokenized],
    order: Sequence[int],
) -> list[ParityRow]:
    """Prompts whose ids a server must rebuild: in the mode it serves by default, and without special-token text."""
    lines: list[ParityRow] = []
    for i in order:
        if len(lines) == config.proof.parity_rows:
            break
        # A turn that was refused, or whose history was cut, has other ids than its messages.
        if not tokenized[i].rows or tokenized[i].reasons:
            continue
        conversation, row = conversations[i], tokenized[i].rows[-1]
        if row.thinking == config.thinking:
            before, tools = conversation.messages[:-1], conversation.tools
            lines.append(ParityRow(id=conversation.place, messages=before, tools=tools, prompt_ids=row.prompt_ids))
    return lines


def _questions(conversations: Sequence[Conversation], tokenized: Sequence[Tokenized], tally: Tally) -> list[HeldoutRow]:
    """Held-out questions for the evaluation: the last turn of each conversation whose answer is text."""
    lines = []
    for conversation, result in zip(conversations, tokenized, strict=True):
        answer = conversation.messages[-1]
        if result.rows and answer.get("tool_calls"):
            tally.add("heldout_call", conversation.place, dropped=False)
        elif result.rows:
            lines.append(
                HeldoutRow(
                    id=conversation.place,
                    cluster=question_identity(conversation).hex(),
                    messages=conversation.messages[:-1],
                    tools=conversation.tools,
                    answers=[answer_text(answer)],
                )
            )
    return lines


def _sources_fingerprint(config: RunConfig) -> str:
    data = config.data
    general = data.replay.given if data.replay else None
    sources = [*data.sources, *(one for one in (data.heldout, general) if one)]
    found = [fingerprint(source, hub=config.hub, offline=config.offline) for source in sources]
    return hashlib.sha256("".join(found).encode()).hexdigest()


def put_in_place(prepared: Prepared, folder: Path) -> None:
    """Copies prepared data to where a run keeps them."""
    folder.mkdir(exist_ok=True)
    for name in FILES:
        _replace(prepared.folder / name, folder / name)


def _replace(source: Path, target: Path) -> None:
    if target.is_dir():
        remove_folder(target)
    else:
        target.unlink(missing_ok=True)  # its file may have another name, in a copy of the run that is made of links
    if source.is_dir():
        copy_folder(source, target)
    else:
        shutil.copyfile(source, target)
