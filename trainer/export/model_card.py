"""The README.md of a merged model: what it was made from, how, what it scored, where its limits are.

Nothing in it is written by hand: recipe and figures come from the run directory. Local paths are left out. What
somebody has written into it stays.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from configs.disk.files import file_bytes, parse_json, write_atomically
from configs.errors import DataError, TuneserveError, first_line
from configs.handover.base import read_rows
from configs.handover.rows import ParityRow
from configs.run.manifest import Manifest
from configs.run.merged import has_other_scores
from configs.run.rundir import CARD, RunDir
from configs.tables.languages import language_of
from configs.terminal.console import shell, visible

_MARK = "\n<!-- written by tuneserve: "


def write_model_card(run: RunDir) -> Path | None:
    """Writes RUN/merged/README.md; gives None, and leaves it, where it is somebody's own.

    Raises:
        TuneserveError: the run has not been merged.
    """
    if not (run.merged / "config.json").is_file():
        raise TuneserveError(f"{run.path}: has no merged weights yet", shell("tuneserve", "merge", run.path))
    if own_card(run) is not None:
        return None
    file = run.merged / CARD
    write_atomically(file, _marked(model_card(run)))
    return file


def own_card(run: RunDir) -> bytes | None:
    """RUN/merged/README.md where it is not as it was written by `write_model_card`; None where it is, or is not there.

    Raises:
        OSError: it is no file.
    """
    file = run.merged / CARD
    if not file.exists():
        return None
    content = file_bytes(file)
    text = content.decode("utf-8", "replace")
    return None if text == _marked(text.rpartition(_MARK)[0]) else content


def _marked(card: str) -> str:
    """A card with a last line, which no hub shows, that tells whether somebody changed it."""
    return f"{card}{_MARK}{hashlib.sha256(card.encode()).hexdigest()} -->\n"


def model_card(run: RunDir) -> str:
    """The card as Markdown, with the front matter that the hubs read."""
    manifest = run.read()
    data, report = _json(run.data / "data_report.json"), _json(run.report / "report.json")
    if has_other_scores(run, manifest):
        report = None
        manifest.stages.pop("tuned", None)
    parts = [
        "---\n"
        + yaml.safe_dump(_front_matter(manifest, _languages(run)), allow_unicode=True, sort_keys=False)
        + "---\n",
        f"# {manifest.name}\n",
        _summary(manifest, run.scale()),
        "## Training\n\n" + _table(("setting", "value"), _training(manifest, run.scale())),
        "## Data\n\n" + _data(manifest, data),
        "## Scores\n\n" + _scores(report),
        "## Are these the trained weights?\n\n" + _proof(manifest),
        "## Limits\n\n" + _limits(manifest, report),
        "## Use\n\n" + _use(manifest),
    ]
    return "\n".join(parts)


def _languages(run: RunDir) -> list[str]:
    """The languages that a tenth of the trained questions or more are in, the commonest first."""
    file = run.data / "parity.jsonl"
    rows = read_rows(file, ParityRow, "data") if file.is_file() else []
    found = Counter(filter(None, (language_of(str(row.messages[-1].get("content") or "")) for row in rows)))
    return [language for language, count in found.most_common() if 10 * count >= found.total()]


def _front_matter(manifest: Manifest, languages: Sequence[str]) -> dict[str, Any]:
    matter: dict[str, Any] = {"language": [*languages]} if languages else {}
    matter |= {"library_name": "transformers", "pipeline_tag": "text-generation"}
    if _is_hub_id(manifest.config.model):
        matter |= {"base_model": manifest.config.model, "base_model_relation": "finetune"}
    datasets = [s.path.partition("#")[0] for s in manifest.config.data.sources]
    if public := [name for name in datasets if _is_hub_id(name)]:
        matter["datasets"] = public
    return {**matter, "tags": ["tuneserve", "unsloth", "sft"]}


def _summary(manifest: Manifest, scale: float) -> str:
    full = manifest.config.train.method == "full"
    how = "All weights were trained" if full else "A LoRA adapter was trained and merged into the 16-bit base"
    if scale != 1:
        how += f", where it counts {scale:g} times as much as it was trained to"
    thinking = "thinks before it answers" if manifest.thinking else "answers without a thinking block"
    return f"Fine-tuned from {_name(manifest.config.model)}. {how}. As trained, it {thinking}.\n"


def _training(manifest: Manifest, scale: float) -> list[tuple[str, str]]:
    lora, train = manifest.config.lora, manifest.config.train
    figures, trained = manifest.trained(), manifest.facts.trained
    rows = [("base model", _name(manifest.config.model)), ("method", train.method)]
    if train.method == "lora":
        kind = "".join(name for flag, name in ((lora.rslora, " rsLoRA"), (lora.dora, " DoRA")) if flag)
        rows += [
            ("adapter", f"rank {lora.r}, alpha {lora.alpha:g}, dropout {lora.dropout:g}{kind}"),
            ("target modules", ", ".join(trained.lora_modules if trained else lora.named_modules)),
            ("scale of the adapter", _scale(manifest, scale)),
        ]
    rate = figures.learning_rate if figures else train.learning_rate
    warmup = 0 if train.scheduler == "constant" else train.warmup_ratio  # which has none
    rows += [
        ("precision of the base while training", train.precision),
        ("learning rate", f"{rate:g}, {train.scheduler}, warm-up {warmup:g}"),
        ("epochs", f"{train.epochs:g}" if not train.max_steps else f"up to {train.max_steps} steps"),
        ("rows per step", str(train.rows_per_step)),
        ("seed", str(manifest.seed)),
    ]
    if figures:
        rows += [("steps", str(figures.steps)), ("mean training loss", f"{figures.loss:.4f}")]
    if figures and figures.heldout_loss is not None:
        rows.append(("held-out loss", f"{figures.heldout_loss:.4f}"))
    rows += [(package, version) for package, version in sorted(manifest.versions.items())]
    return rows


def _scale(manifest: Manifest, scale: float) -> str:
    chosen = manifest.scaled()
    if manifest.config.merge.scale != "auto" or chosen is None:
        return f"{scale:g}"
    point = next(point for point in chosen.points if point.scale == scale)
    return (
        f"{scale:g}, chosen: keeps {100 * point.kept:.0f} % of the gain on held-out answers, makes the "
        f"base's own answers to unseen questions {point.drift:.3f} nats a token less likely"
    )


def _data(manifest: Manifest, report: dict[str, Any] | None) -> str:
    config = manifest.config.data
    lines = [f"- {_name(s.path)}" + (f" (weight {s.weight:g})" if s.weight != 1 else "") for s in config.sources]
    if config.replay:
        general = config.replay.given
        named = _name(general.path) if general else "questions and answers of the base's own"
        lines.append(f"- {named} (replay, {config.replay.ratio:g} to 1)")
    text = "\n".join(lines) + "\n"
    if report:
        text += (
            f"\n{report['train_conversations']} conversations trained and {report['heldout_conversations']} held out "
            f"of {report['read']} rows read; {report['train_tokens']} tokens, {report['trained_tokens']} learned; "
            f"longest row {report['longest_row']} tokens.\n"
        )
    return text


def _scores(report: dict[str, Any] | None) -> str:
    if report is None:
        return "This model has not been evaluated.\n"
    rows = [
        (
            t["name"], t["role"], t["metric"], str(t["n"]), f"{t['base_points']:.1f}", f"{t['tuned_points']:.1f}",
            f"{t['delta_points']:+.1f} [{t['interval']['lower']:+.1f}, {t['interval']['upper']:+.1f}]",
        )
        for t in report["tasks"]
    ]  # fmt: skip
    verdict = {"pass": "passed", "fail": "failed", "not_enough_evidence": "open: not enough evidence"}
    gate, share = report["gate"], f"{report['confidence']:.0%}"
    reserved = [f"- {_escaped(one['text'])}\n" for one in gate.get("reservations", ())]
    return (
        _table(("task", "role", "metric", "items", "base", "tuned", f"difference, {share} interval"), rows)
        + f"\nPoints of 100; base and tuned answered the same items with the same settings. Gate against forgetting "
        f"(at most {gate['margin_points']:g} points in a group): {verdict[gate['verdict']]}"
        + "".join([", with reservations:\n\n", *reserved] if reserved else [".\n"])
    )


def _proof(manifest: Manifest) -> str:
    served = manifest.served()
    proof = served.proof if served else None
    if proof is None:
        return "Not proved through a server yet.\n"
    return (
        f"Read through the server on {proof.rows} held-out answers, the log-likelihood differs from the adapter's "
        f"by {proof.mean_gap:.3f} nats on average, where training changed it by {proof.mean_effect:.3f}.\n"
    )


def _limits(manifest: Manifest, report: dict[str, Any] | None) -> str:
    lines = [
        f"- Trained on rows of at most {manifest.config.data.max_length} tokens.",
        "- Only the tasks above were measured; what is not in the table may have become better or worse.",
        "- It inherits the base model's licence, knowledge and faults, and was not tuned for safety.",
    ]
    for task in report["tasks"] if report else []:
        if task["role"] == "retention" and task["interval"]["upper"] < 0:
            lines.append(f"- Lost on {task['name']}: {task['delta_points']:+.1f} points.")
    return "\n".join(lines) + "\n"


def _use(manifest: Manifest) -> str:
    thinking, prepared = json.dumps({"enable_thinking": manifest.thinking}), manifest.facts.prepared
    switchable = prepared is not None and prepared.family == "switchable"
    switch = f" --default-chat-template-kwargs '{thinking}'" if switchable else ""
    return f"```bash\nvllm serve FOLDER --served-model-name {manifest.name}{switch}\n```\n"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _is_hub_id(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and "*" not in name and not Path(name).exists()


def _name(place: str) -> str:
    """A hub id as it is; of a local path the last part only."""
    return _escaped(place if _is_hub_id(place) else Path(place.partition("#")[0]).name)


def _escaped(text: str) -> str:
    """A text as Markdown that shows it as it is, on one line."""
    return re.sub(r"([\\<\[\]`*])", r"\\\1", visible(text).replace("\n", " "))


def _json(file: Path) -> dict[str, Any] | None:
    try:
        return parse_json(file_bytes(file)) if file.is_file() else None
    except ValueError as error:
        raise DataError(
            f"{file}: damaged: {first_line(error)}", "remove it, and tuneserve run writes it again"
        ) from error
