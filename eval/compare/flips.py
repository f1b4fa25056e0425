"""The answers behind the scores: which flipped, and how each endpoint behaved while answering."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from eval.ask.results import Sample
from eval.compare.comparison import Behaviour, Comparison, Flip
from eval.compare.pairing import PairedTask

_QUOTED = {"trained_text", "served_text"}


def behaviour(samples: Sequence[Sample], method: str) -> Behaviour:
    """Count how an endpoint answered. With `choice_logprobs` one token is asked for, so stopping means nothing."""
    answered = [sample for sample in samples if sample.status == "ok"]
    generated = method == "generate" and bool(answered)
    stopped = sum(sample.finish_reason == "stop" for sample in answered)
    retries: Counter[str] = Counter()
    for sample in samples:
        retries.update(sample.retries)
    lengths = [
        sample.usage["completion_tokens"] for sample in answered if sample.usage and "completion_tokens" in sample.usage
    ]
    return Behaviour(
        samples=len(samples),
        errors=len(samples) - len(answered),
        errors_by_class=_by_class(Counter(sample.error.kind for sample in samples if sample.error)),
        retries_by_class=_by_class(retries),
        stop_percent=100 * stopped / len(answered) if generated else None,
        truncated=sum(sample.finish_reason == "length" for sample in answered) if generated else 0,
        truncated_thinking=_flagged(answered, "truncated_thinking"),
        thinking_leak=_flagged(answered, "thinking_leak"),
        unparsed=_flagged(answered, "unparsed"),
        empty=sum(sample.is_empty for sample in answered),
        mean_completion_tokens=sum(lengths) / len(lengths) if lengths else None,
    )


def largest_flips(pair: PairedTask, metric: str, limit: int) -> tuple[Flip, ...]:
    """Up to `limit` lost and as many gained samples, the largest changes first, then by id."""
    changed = []
    for base, tuned in pair.scored(metric):
        change = tuned.scores.get(metric, 0.0) - base.scores.get(metric, 0.0)
        if change:
            changed.append((change, base, tuned))
    changed.sort(key=lambda item: (-abs(item[0]), item[1].id))
    lost = [item for item in changed if item[0] < 0][:limit]
    gained = [item for item in changed if item[0] > 0][:limit]
    return tuple(_flip(base, tuned, metric) for _, base, tuned in lost + gained)


def without_answers(comparison: Comparison) -> Comparison:
    """The same comparison, quoting no question, no answer and no row: all figures and counts stay.

    A report made of it can go where the licence of a data set does not let its texts go.
    """
    reasons = tuple(replace(reason, values=_unquoted(reason.values)) for reason in comparison.gate.reasons)
    return replace(
        comparison,
        tasks=tuple(replace(task, flips=()) for task in comparison.tasks),
        gate=replace(comparison.gate, reasons=reasons),
        facts=_unquoted(comparison.facts),
    )


def _unquoted(known: Any) -> Any:
    """Facts without the rows that they quote: what parity, and a look at another trainer's model, found different."""
    if isinstance(known, Mapping):
        return {key: "…" if key in _QUOTED else _unquoted(value) for key, value in known.items()}
    return [_unquoted(value) for value in known] if isinstance(known, list) else known


def _flip(base: Sample, tuned: Sample, metric: str) -> Flip:
    before, after = base.scores.get(metric, 0.0), tuned.scores.get(metric, 0.0)
    return Flip(
        id=base.id,
        kind="lost" if after < before else "gained",
        question=_last_question(base.prompt),
        references=tuple(base.references),
        base_answer=base.answer,
        tuned_answer=tuned.answer,
        base_score=before,
        tuned_score=after,
        base_flags=tuple(base.flags),
        tuned_flags=tuple(tuned.flags),
    )


def _last_question(prompt: Sequence[Mapping[str, Any]]) -> str:
    questions = [message["content"] for message in prompt if message["role"] == "user"]
    return str(questions[-1]) if questions else ""


def _by_class(counts: Counter[str]) -> dict[str, int]:
    """The most frequent first, then by name, so that reports of the same answers are the same."""
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _flagged(samples: Sequence[Sample], flag: str) -> int:
    return sum(flag in sample.flags for sample in samples)
