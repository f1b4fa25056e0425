"""What a comparison of two endpoints says: frozen, and free of files, models and formats.

`eval.compare.compare` builds it, `eval.report` renders it. Scores, differences and bounds are in points (100 x the mean
of the items' scores); differences are tuned minus base. Texts are `Sentence`s, so that a report can be in either
language.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from configs.errors import EXIT_GATE_FAILED, EXIT_NOT_ENOUGH_EVIDENCE, EXIT_OK
from eval.statistics.interval import Interval

State = Literal["pass", "fail", "not_enough_evidence", "described"]
Role = Literal["target", "retention"]
SCHEMA_VERSION = 2

_EXIT_CODES: dict[State, int] = {
    "pass": EXIT_OK,
    "fail": EXIT_GATE_FAILED,
    "not_enough_evidence": EXIT_NOT_ENOUGH_EVIDENCE,
}


@dataclass(frozen=True)
class Sentence:
    """A sentence of the report: its key in `configs/texts` and the values put into it."""

    key: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Behaviour:
    """How one endpoint answered, beside what it scored.

    Attributes:
        samples: asked.
        errors: without an answer after all retries; errors_by_class: of which kind, such as `null_content`.
        retries_by_class: failed attempts by kind, those of samples that were answered in the end included.
        stop_percent: answers that ended by themselves; None where one token was asked for.
        truncated: answers cut by the token limit.
        truncated_thinking: of these, cut while still thinking (scored 0).
        thinking_leak: answers with think tags left in them.
        unparsed: answers in which nothing could be found to score.
        empty: empty answers.
        mean_completion_tokens: None where the endpoint reports no usage.
    """

    samples: int
    errors: int
    errors_by_class: Mapping[str, int]
    retries_by_class: Mapping[str, int]
    stop_percent: float | None
    truncated: int
    truncated_thinking: int
    thinking_leak: int
    unparsed: int
    empty: int
    mean_completion_tokens: float | None


@dataclass(frozen=True)
class MetricChange:
    """One metric of a task beside its primary one; the means are 100 x the items' values."""

    name: str
    base: float
    tuned: float
    delta: float
    interval: Interval


@dataclass(frozen=True)
class Diagnostic:
    """A measure without a better side, such as the length ratio or the copy rate: plain means over the samples."""

    name: str
    base: float
    tuned: float


@dataclass(frozen=True)
class Flip:
    """One sample whose score changed, with both answers."""

    id: str
    kind: Literal["lost", "gained"]
    question: str
    references: tuple[str, ...]
    base_answer: str
    tuned_answer: str
    base_score: float
    tuned_score: float
    base_flags: tuple[str, ...]
    tuned_flags: tuple[str, ...]


@dataclass(frozen=True)
class NoiseFloor:
    """The base against itself, same samples and settings.

    Attributes:
        delta_points: second run minus first. interval: of it, two-sided.
        changed: samples whose score differed.
        n: samples.
        shift_points: size of the difference where it is systematic, in one direction beyond chance; 0 where it is not.
    """

    delta_points: float
    interval: Interval
    changed: int
    n: int
    shift_points: float


@dataclass(frozen=True)
class Retention:
    """What is kept of the base score, in percent of it.

    Attributes:
        percent: 100 * tuned / base; None where base is 0.
        interval: of it, in percent.
        above_chance_percent: the same above what guessing scores; None where base is not clearly above chance.
        chance_points: what guessing scores.
        at_chance: whether base is not clearly above it (two standard errors): nothing was there that could be lost.
    """

    percent: float | None
    interval: Interval | None
    above_chance_percent: float | None
    chance_points: float
    at_chance: bool = False


@dataclass(frozen=True)
class TaskComparison:
    """One task.

    Attributes:
        name, type, role, group, method, metric: from the task; `metric` is the primary one that is compared.
        thinking: thinking mode that both were asked in.
        n: pairs compared. asked: samples. clusters: independent units among the pairs.
        base_points, tuned_points, delta_points: means over the pairs.
        interval: of delta_points, two-sided.
        one_sided: bounds of delta_points that each hold alone at the gate's confidence.
        p: two-sided, by `test`; p_holm: corrected for all tasks of the report.
        minimum_detectable_drop_points: smallest drop that so many samples show at .05 with 80 % power.
        lost, gained: samples that scored lower, higher; discordance_percent: their share.
        noise: the base against itself, where it was measured.
        official_points: base and tuned totals of benchmarks whose official total is the mean of the subjects' means.
        flips: the largest changes of either direction (not all of them: lost and gained count all).
        samples_sha256, settings_sha256, settings: what both were asked, and how.
    """

    name: str
    type: str
    role: Role
    group: str
    method: str
    metric: str
    thinking: bool | None
    asked: int
    n: int
    clusters: int
    base_points: float
    tuned_points: float
    delta_points: float
    standard_error_points: float
    interval: Interval
    one_sided: Interval
    p: float
    p_holm: float
    test: str
    minimum_detectable_drop_points: float
    lost: int
    gained: int
    discordance_percent: float
    retention: Retention
    noise: NoiseFloor | None
    official_points: tuple[float, float] | None
    other_metrics: tuple[MetricChange, ...]
    diagnostics: tuple[Diagnostic, ...]
    base_behaviour: Behaviour
    tuned_behaviour: Behaviour
    flips: tuple[Flip, ...]
    samples_sha256: str
    settings_sha256: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class GroupComparison:
    """The items of a group's retention tasks pooled, every item counting the same. Fields as in `TaskComparison`."""

    name: str
    tasks: tuple[str, ...]
    n: int
    clusters: int
    base_points: float
    tuned_points: float
    delta_points: float
    interval: Interval
    one_sided: Interval
    p: float
    test: str
    minimum_detectable_drop_points: float
    discordance_percent: float
    retention: Retention
    noise: NoiseFloor | None


@dataclass(frozen=True)
class Forgetting:
    """All retention tasks together, every task counting the same.

    Attributes:
        tasks: their number.
        retention_percent: the tasks' mean score after, as a share of that before; None where that is 0. What is shown:
            a task that the base could hardly do would swamp the mean of the ratios.
        mean_retention_percent: mean of the tasks' own retention; None where no base score is above 0.
        relative_forgetting_percent: FG of Luo et al. 2023.
        backward_transfer_points: BWT of Lopez-Paz and Ranzato 2017, the mean change.
        interval: of backward_transfer_points.
    """

    tasks: int
    retention_percent: float | None
    mean_retention_percent: float | None
    relative_forgetting_percent: float | None
    backward_transfer_points: float
    interval: Interval


@dataclass(frozen=True)
class GateCheck:
    """One condition of the gate.

    Attributes:
        kind: a pooled `group`, the `mean` over the gated groups, a `target` task, or the base's `own_answers`.
        state: `described` where the items are too few to be gated.
        margin_points: how much may be lost; 0 for targets, which must not fall.
        n, delta_points: at the look that decided it, else at the last one.
        lower_points, upper_points: one-sided bounds of the difference, of groups and mean good for all looks together.
        shift_points: by which the base differs from itself systematically; the bounds had to clear the margin by it.
        reason: why this state.
        look: number of that look; None for what is looked at once.
        information: share of the planned information that was in by then.
        all_asked: whether nothing was left to ask of it by then.
        unit: of delta, bounds and margin: `points`, or `nats` a token for `own_answers`.
    """

    kind: Literal["group", "mean", "target", "own_answers"]
    name: str
    state: State
    n: int
    delta_points: float
    lower_points: float
    upper_points: float
    margin_points: float
    shift_points: float
    reason: Sentence
    look: int | None = None
    information: float | None = None
    all_asked: bool = True
    unit: Literal["points", "nats"] = "points"


@dataclass(frozen=True)
class Look:
    """What the gate saw after a block.

    Attributes:
        items: of each gated group by then.
        checks: of the groups and their mean as they stood then.
        at: when, UTC; None where that was not noted.
    """

    number: int
    items: Mapping[str, int]
    checks: tuple[GateCheck, ...]
    at: str | None = None


@dataclass(frozen=True)
class Gate:
    """The verdict and what it rests on.

    Attributes:
        verdict: `pass`, `fail` or `not_enough_evidence`; reasons: why.
        reservations: what speaks against a model that passed: each is a red line of the report.
        checks: every condition. looks: of groups that were asked in blocks, one after each block.
        remedy: what decides a verdict that is open; None where nothing is.
        whole_items: that there are of the gated groups.
        margin_points, mean_margin_points, min_items, confidence, power: from the config.
    """

    verdict: State
    reasons: tuple[Sentence, ...]
    reservations: tuple[Sentence, ...]
    checks: tuple[GateCheck, ...]
    looks: tuple[Look, ...]
    remedy: Sentence | None
    whole_items: int
    margin_points: float
    mean_margin_points: float
    min_items: int
    confidence: float
    power: float

    @property
    def exit_code(self) -> int:
        """0 passed, 3 failed, 4 not enough evidence."""
        return _EXIT_CODES[self.verdict]


@dataclass(frozen=True)
class Advice:
    """One setting to change, given only where a drop is significant.

    Attributes:
        setting: its key in the recipe.
        seen: its value in this run, as text.
        text: what to do and on what evidence.
    """

    setting: str
    seen: str
    text: Sentence


@dataclass(frozen=True)
class Drift:
    """How far the tuned model moved on general text, which needs no labels. See `eval.compare.drift`.

    Attributes:
        documents, characters, tokens: of the text.
        base_per_character, tuned_per_character: log-likelihood in nats.
        change_per_character: tuned minus base; interval: of it, by document.
        kl_per_token: lower bound of KL(base || tuned) in nats.
    """

    documents: int
    characters: int
    tokens: int
    base_per_character: float
    tuned_per_character: float
    change_per_character: float
    interval: Interval
    kl_per_token: float


@dataclass(frozen=True)
class OwnAnswers:
    """How likely the tuned model finds the base's own answers to unseen questions. See `eval.compare.own_answers`.

    Attributes:
        answers, tokens: that were measured.
        base_per_token, tuned_per_token: log-likelihood in nats.
        change_per_token: tuned minus base; interval: of it, by answer; one_sided: bounds that each hold alone.
    """

    answers: int
    tokens: int
    base_per_token: float
    tuned_per_token: float
    change_per_token: float
    interval: Interval
    one_sided: Interval


@dataclass(frozen=True)
class Judged:
    """One task as a third model judged it, pair by pair in both orders. See `eval.compare.judge`.

    Attributes:
        task, judge: what was judged, and the model that did.
        wins, losses, ties: of tuned. failures: pairs without a verdict. clusters: independent units of the others.
        agreement_percent: judged pairs whose two orders said the same.
        first_bias_percent: verdicts for whichever answer stood first; 50 is no bias. Both None where there are none.
        net_points: 100 x (wins - losses) / judged pairs; interval: of it.
        p: two-sided, that wins and losses are equally likely, by `test`, `none` where fewer than two units are left.
    """

    task: str
    judge: str
    wins: int
    losses: int
    ties: int
    failures: int
    clusters: int
    agreement_percent: float | None
    first_bias_percent: float | None
    net_points: float
    interval: Interval
    p: float
    test: str


@dataclass(frozen=True)
class Comparison:
    """Base against tuned, whole.

    Attributes:
        base, tuned: names of the endpoints in the report; base_model, tuned_model: the served models asked.
        confidence: of every two-sided interval.
        tasks: targets first. groups: retention tasks pooled. forgetting: None without retention tasks.
        drift, own_answers, judged: where they were measured.
        facts: what the run knows beside its answers (recipe, proof, parity, versions, ...), shown as it is.
    """

    base: str
    tuned: str
    base_model: str
    tuned_model: str
    confidence: float
    tasks: tuple[TaskComparison, ...]
    groups: tuple[GroupComparison, ...]
    forgetting: Forgetting | None
    gate: Gate
    advice: tuple[Advice, ...]
    drift: Drift | None
    own_answers: OwnAnswers | None
    judged: tuple[Judged, ...]
    facts: Mapping[str, Any]

    @property
    def targets(self) -> tuple[TaskComparison, ...]:
        """The tasks that were meant to get better."""
        return tuple(task for task in self.tasks if task.role == "target")

    @property
    def retained(self) -> tuple[TaskComparison, ...]:
        """The tasks that were meant to stay as they are."""
        return tuple(task for task in self.tasks if task.role == "retention")
