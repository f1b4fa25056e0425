"""One self-contained page: verdict first, a picture for gain and one for forgetting, and everything behind them.

No script, no font, no request to anywhere: the page opens from a mail attachment. What models wrote is escaped by the
template engine, and the page's own policy forbids scripts besides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from configs.terminal.console import visible
from eval.compare.comparison import Comparison, Flip, GroupComparison, TaskComparison
from eval.compare.tradeoff import tradeoff
from eval.report import charts, figures, scales, selfmade
from eval.report.differences import Piece, mark_differences, shortened
from eval.report.rows import Rows, run_table
from eval.report.words import ENGLISH, ReportWords
from eval.statistics.interval import Interval
from eval.statistics.mean_of_tasks import mean_interval

LOST_SHOWN, GAINED_SHOWN = 5, 3
"""Changed answers shown for each task; losses are what a reader must see."""
_LONGEST_QUESTION = 1200


def render_html(comparisons: Sequence[Comparison], words: ReportWords = ENGLISH) -> str:
    """The text of report.html, for one comparison, or for several runs against one base."""
    environment = page_environment()
    environment.filters["code"] = _code
    points = tradeoff(comparisons)
    first = comparisons[0]
    several = words.say("versus.several", runs=len(comparisons), base=first.base)
    one = words.say("versus", tuned=first.tuned, base=first.base)
    return environment.get_template("report.html.j2").render(
        language=words.language,
        say=words.say,
        sentence=words.sentence,
        flag_name=words.flag,
        points=figures.points,
        title=one if len(comparisons) == 1 else several,
        created_at=words.time(first.facts.get("created_at")),
        scatter_view=charts.scatter(points),
        runs=run_table(points, words),
        views=[_Page(comparison, words).view() for comparison in comparisons],
    )


def page_environment() -> jinja2.Environment:
    """Templates of pages that may hold what anyone wrote: all of it is escaped, and shown as it is."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
        # Half of a surrogate pair cannot be written, a mark that turns the direction would hide what an answer says.
        finalize=lambda value: visible(value) if type(value) is str else value,
    )


def _code(sentence: str) -> Markup:
    """The sentence, escaped, with what stands between backticks as code."""
    parts = (escape(part) for part in visible(sentence).split("`"))
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else p for i, p in enumerate(parts))


@dataclass(frozen=True)
class _Tile:
    name: str
    value: str
    unit: str
    note: str
    tone: str


class _Page(Rows):
    """The rows of one comparison, with what only the page shows: tiles, pictures, settings."""

    def view(self) -> dict[str, Any]:
        """Everything the template shows."""
        comparison = self.comparison
        return {
            "comparison": comparison,
            "summary": self.summary(),
            "verdict": self.verdict(),
            "notes": self.notes(),
            "looks": self.looks(),
            "advice_lead": self.advice_lead(),
            "tiles": self.tiles(),
            "gained": self.forest(charts.forest(comparison.targets)),
            "forgotten": self.forest(charts.forest(_retained(comparison), comparison.gate.margin_points)),
            "facts": self.facts(),
            "renderings": self.renderings(),
            "tasks": self.tasks(),
            "retention": self.retention(),
            "meanings": self.meanings(),
            "vote": self.vote(),
            "gate": self.gate(),
            "behaviour": self.behaviour(),
            "scale": _scale(comparison, self.words),
            "judge": self.judged(),
            "others": self.others(),
            "flips": [_flips(task) for task in comparison.tasks if task.flips],
            "selfmade": self.selfmade(),
            "training": self.training(),
            "loss_png": comparison.facts.get("loss_png"),
            "commands": _commands(comparison.facts),
            "asked": self.asked(),
            "fact_groups": list(_fact_groups(comparison.facts)),
        }

    def tiles(self) -> list[_Tile]:
        """The figures at the top."""
        comparison, say = self.comparison, self.words.say
        tiles, points = [], say("points")
        if comparison.targets:
            deltas = [task.delta_points for task in comparison.targets]
            interval = mean_interval(deltas, [task.interval for task in comparison.targets])
            gain = figures.signed(sum(deltas) / len(deltas))
            tiles.append(_Tile(say("tile.gain"), gain, points, figures.bounds(interval), _tone(interval)))
        if comparison.forgetting:
            kept = comparison.forgetting
            note = say("tile.retention.note", tasks=kept.tasks)
            if (percent := self.kept()) is not None:
                tiles.append(_Tile(say("tile.retention"), figures.points(percent), "%", note, ""))
            change = figures.signed(kept.backward_transfer_points)
            note = figures.bounds(kept.interval)
            tiles.append(_Tile(say("tile.change"), change, points, note, _tone(kept.interval)))
        behaviours = [seen for task in comparison.tasks for seen in (task.base_behaviour, task.tuned_behaviour)]
        errors = say("tile.items.note", errors=sum(seen.errors for seen in behaviours))
        asked = f"{sum(task.asked for task in comparison.tasks):,}"
        return [*tiles, _Tile(say("tile.items"), asked, "", errors, "")]

    def forest(self, picture: charts.Forest | None) -> dict[str, Any] | None:
        """The picture with the words of its rows."""
        if picture is None:
            return None
        shown, say = [], self.words.say
        for row in picture.rows:
            item = row.item
            n = say("items", n=item.n)
            passages = f" · {say('passages', n=item.clusters)}" if item.clusters < item.n else ""
            if isinstance(item, GroupComparison):
                label, kind = self.words.group(item.name), ", ".join(item.tasks)
                kind = say("pooled") if len(item.tasks) > 1 else kind
            else:
                label, kind = item.name, item.metric
            shown.append(
                {
                    "label": label,
                    "detail": f"{kind} · {n}{passages}",
                    "member": isinstance(item, TaskComparison) and item.role == "retention",
                    "pooled": row.pooled,
                    "tone": row.tone,
                    "dot": row.dot,
                    "left": row.left,
                    "right": row.right,
                    "change": figures.signed(item.delta_points),
                    "interval": figures.bounds(item.interval),
                    "levels": f"{figures.points(item.base_points)} → {figures.points(item.tuned_points)}",
                }
            )
        return {"rows": shown, "ticks": picture.ticks, "zero": picture.zero, "margin": picture.margin}

    def selfmade(self) -> dict[str, Any] | None:
        """What the base wrote itself; None where it wrote nothing."""
        made = selfmade.of(self.comparison)
        if made is None:
            return None
        shown = selfmade.examples(made, self.words, longest=_LONGEST_QUESTION)
        return {
            "lead": selfmade.lead(made, self.words),
            "tables": selfmade.tables(made, self.words),
            "examples": shown.title,
            "rows": shown.rows,
        }

    def asked(self) -> list[tuple[str, str]]:
        """Settings and sample hashes of every task; tasks with equal settings share a line."""
        comparison, say = self.comparison, self.words.say
        found = [(comparison.base, comparison.base_model), (comparison.tuned, comparison.tuned_model)]
        by_settings: dict[str, list[TaskComparison]] = {}
        for task in comparison.tasks:
            by_settings.setdefault(f"{task.settings_sha256} {task.thinking} {task.method}", []).append(task)
        for tasks in by_settings.values():
            settings = ", ".join(f"{name}={value}" for name, value in tasks[0].settings.items())
            thinking = f"{say('repeat.thinking')}={tasks[0].thinking}"
            names = ", ".join(task.name for task in tasks)
            found.append((f"{say('repeat.settings')} · {names}", f"{settings}, {thinking}, {tasks[0].method}"))
        samples = say("repeat.samples")
        return found + [(f"{samples} · {task.name}", task.samples_sha256) for task in comparison.tasks]


def _scale(comparison: Comparison, words: ReportWords) -> dict[str, Any] | None:
    """The choice of a scale, in words, as a table and as a curve; None where none was made."""
    found = scales.scale_facts(comparison.facts)
    if found is None:
        return None
    return {
        "sentence": scales.scale_sentence(found, words),
        "lead": scales.scale_lead(found, words),
        "table": scales.scale_table(found, words),
        "curve": scales.scale_picture(found),
    }


def _tone(interval: Interval) -> str:
    return charts.tone(interval.lower, interval.upper)


def _retained(comparison: Comparison) -> list[TaskComparison | GroupComparison]:
    """Every group, followed by its tasks where it has several."""
    tasks = {task.name: task for task in comparison.retained}
    found: list[TaskComparison | GroupComparison] = []
    for group in comparison.groups:
        found.append(group)
        if len(group.tasks) > 1:
            found += [tasks[name] for name in group.tasks]
    return found


@dataclass(frozen=True)
class _ShownFlip:
    id: str
    kind: str
    question: str
    references: tuple[str, ...]
    base_score: float
    tuned_score: float
    base_pieces: list[Piece]
    tuned_pieces: list[Piece]
    base_flags: tuple[str, ...]
    tuned_flags: tuple[str, ...]


def _flips(task: TaskComparison) -> dict[str, Any]:
    lost = [flip for flip in task.flips if flip.kind == "lost"][:LOST_SHOWN]
    gained = [flip for flip in task.flips if flip.kind == "gained"][:GAINED_SHOWN]
    return {
        "name": task.name,
        "lost": task.lost,
        "gained": task.gained,
        "flips": [_shown_flip(flip) for flip in lost + gained],
    }


def _shown_flip(flip: Flip) -> _ShownFlip:
    base, tuned = mark_differences(flip.base_answer, flip.tuned_answer)
    return _ShownFlip(
        id=flip.id,
        kind=flip.kind,
        question=shortened(flip.question, _LONGEST_QUESTION),
        references=tuple(shortened(reference) for reference in flip.references),
        base_score=flip.base_score,
        tuned_score=flip.tuned_score,
        base_pieces=base,
        tuned_pieces=tuned,
        base_flags=flip.base_flags,
        tuned_flags=flip.tuned_flags,
    )


def _commands(facts: Mapping[str, Any]) -> list[str]:
    """The commands that repeat the run, from `facts["commands"]` or `facts["command"]`."""
    commands = facts.get("commands", facts.get("command", []))
    return [commands] if isinstance(commands, str) else list(commands)


def _fact_groups(facts: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The facts as titled lists of name and value; commands, time and the picture stand elsewhere."""
    elsewhere = ("command", "commands", "created_at", "loss_png", "scaled", "selfmade", "vote")
    rest = {key: value for key, value in facts.items() if key not in elsewhere}
    single = [(key, str(value)) for key, value in rest.items() if not isinstance(value, Mapping)]
    if single:
        yield "run", single
    for key, value in rest.items():
        if isinstance(value, Mapping):
            yield key, list(_flat(value))


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
            yield from _flat({str(number): item for number, item in enumerate(value)}, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)
