"""The proof: the weights that are served recover what the adapter had learned, read through the server.

Before the trainer lets go of the model it stores, for held-out rows, the answer's log-likelihood with and without the
adapter. The same sums, read through vLLM's `prompt_logprobs`, must come out as with the adapter. That covers the merge,
the template, the numerics of the server and its quantization at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from configs.errors import TuneserveError
from configs.handover.base import read_rows, write_rows
from configs.handover.prompt_logprobs import answer_logprob, answer_request
from configs.handover.rows import ProofRow, ServedAnswer
from configs.handover.serving import ProofFigures
from configs.recipe.schema import ProofConfig
from serve.api.client import ServerClient, in_parallel

TRAINED_TOLERANCES = {16: 0, 8: 1, 4: 2}
"""So many times `proof.rounded_tolerance` may answers be off by the bits that the base had while it was trained over.

8 bits are measured, see below. A weight is off 3.6 times as much in NF4 as in FP8, whose inputs are rounded too: some
2.5 times the gap is expected of 4 bits, and was not measured.
"""
SHIFT_TOLERANCES = 2
"""So many times `proof.tolerance` may the mean be off that was trained over a rounded base.

Measured with Qwen2.5-Coder-1.5B over a base in 8 bits: the answers are off by 10.5 % of what the adapter changes, their
mean by 0.1 % (128 answers), which leaves 32 answers a standard error of 3 %.
"""


class Proof(ProofFigures):
    """The verdict in words."""

    def sentence(self) -> str:
        """One sentence for the terminal."""
        if self.mean_effect == 0:
            return "the adapter changes no answer's likelihood, so nothing can be proved: training had no effect"
        gap, most = self.mean_gap, self.tolerance
        if self.shift_tolerance is not None and self.shifted and gap <= self.bound:
            gap, most = abs(self.mean_shift), self.shift_tolerance  # all of it to one side
        share = f"{100 * gap / self.mean_effect:.2f} % of what the adapter changes"
        allowed = f"allowed {100 * most:g} %"
        kept = f"{100 * self.recovered:.{1 if self.rounded else 0}f} % of the adapter's gain is there"
        what = "rounded weights" if self.rounded else "served weights"
        if self.rounded:
            kept += f", perplexity of the answers x {math.exp(-self.shift_per_token):.4f}"
        if self.passed and self.rounded:
            return f"{what} stay close to the trained ones: off by {share} ({allowed}) on {self.rows} answers; {kept}"
        if self.passed and self.trained_bits < 16:
            return (
                f"{what} are the trained ones: off by {share} ({allowed}, the base was in {self.trained_bits} bits in "
                f"training) on {self.rows} held-out answers; {kept}"
            )
        if self.passed:
            counted = "" if self.scale == 1 else f", the adapter counting {self.scale:g} times as much"
            return f"{what} are the trained ones{counted}: off by {share} on {self.rows} held-out answers"
        if self.served_scale is not None:
            meant = f"the adapter is meant to count {self.scale:g} times as much as it was trained to"
            seen = f"counts {self.served_scale:g} times" if self.served_scale else "does not count at all"
            return f"{what} are NOT the trained ones: off by {share} ({allowed}); {meant}, what is served {seen}"
        if self.mean_gap > self.bound or self.shifted:
            return f"{what} are NOT the trained ones: off by {share} ({allowed}); {kept}"
        return (
            f"{what} are NOT the trained ones: row {self.worst_row} is off by {self.worst_gap:.3f} nats "
            f"(allowed {self.row_factor * self.bound:.3f}), though the mean is within its bound"
        )


def check_proof(
    client: ServerClient,
    model: str,
    file: Path,
    config: ProofConfig,
    scale: float = 1.0,
    rounded: bool = False,
    record: Path | None = None,
    trained_bits: int = 16,
) -> Proof:
    """Reads the answers' likelihoods through the server and compares them with the stored ones.

    Args:
        client: a server that is ready.
        model: name to ask for.
        file: the run's proof.jsonl.
        config: the bounds.
        scale: how much the adapter is meant to count.
        rounded: whether what is served was rounded to fewer bits; it has a wider bound.
        record: where the server's likelihoods are written, so that the figure can be made again.
        trained_bits: of the base's weights while the adapter was trained.

    Raises:
        TuneserveError: the file is missing, has no rows or none of this scale, or the server gives no likelihoods.
    """
    rows = read_rows(file, ProofRow, "train")
    if not rows:
        raise TuneserveError(f"{file}: no rows in it, so nothing can be proved", "train again with data held out")
    served = in_parallel(lambda row: served_logprob(client, model, row.input_ids, row.answer_start), rows)
    if record is not None:
        record.parent.mkdir(parents=True, exist_ok=True)
        answers = zip(rows, served, strict=True)
        write_rows(record, [ServedAnswer(id=row.id, served_logprob=likelihood) for row, likelihood in answers])
    return proof_of(rows, served, config, scale, rounded, trained_bits)


def served_logprob(client: ServerClient, model: str, input_ids: Sequence[int], answer_start: int) -> float:
    """Log-likelihood in nats of `input_ids[answer_start:]` given what stands before, under a served model.

    Raises:
        TuneserveError: vLLM answers without a likelihood for some token of the answer.
    """
    choices = client.part("/v1/completions", answer_request(model, input_ids), "choices", list)
    choice = choices[0] if choices and isinstance(choices[0], dict) else {}
    return answer_logprob(input_ids, answer_start, choice)


def proof_of(
    rows: Sequence[ProofRow],
    served: Sequence[float],
    config: ProofConfig,
    scale: float = 1.0,
    rounded: bool = False,
    trained_bits: int = 16,
) -> Proof:
    """Compares served likelihoods with the stored ones.

    An adapter that was trained over a base in 8 or 4 bits is served over the base in 16: each answer differs by what
    rounding the base had done to it, which goes to no side. Their mean is held to a bound of its own, so that a part
    of an adapter does not pass for rounding.

    Args:
        rows: the stored rows.
        served: the server's likelihood of each row's answer, in the same order.
        config: the bounds.
        scale: how much the adapter is meant to count.
        rounded: whether what is served was rounded to fewer bits, so that the wider bound holds.
        trained_bits: of the base's weights while the adapter was trained; a wider bound holds below 16.
    """
    adapter = [row.at(scale) for row in rows]
    base = [row.base_logprob for row in rows]
    gaps = [abs(s - a) for s, a in zip(served, adapter, strict=True)]
    gain = sum(adapter) - sum(base)
    tokens = sum(len(row.input_ids) - row.answer_start for row in rows)
    worst = max(range(len(rows)), key=gaps.__getitem__)
    return Proof(
        rows=len(rows),
        mean_gap=fmean(gaps),
        mean_effect=fmean(abs(b - a) for b, a in zip(base, adapter, strict=True)),
        tolerance=max(
            config.rounded_tolerance if rounded else config.tolerance,
            TRAINED_TOLERANCES[trained_bits] * config.rounded_tolerance,
        ),
        row_factor=config.row_factor,
        worst_row=rows[worst].id,
        worst_gap=gaps[worst],
        recovered=(sum(served) - sum(base)) / gain if gain else 0.0,
        shift_per_token=(sum(served) - sum(adapter)) / tokens,
        rounded=rounded,
        trained_bits=trained_bits,
        mean_shift=(sum(served) - sum(adapter)) / len(rows),
        shift_tolerance=SHIFT_TOLERANCES * config.tolerance if trained_bits < 16 and not rounded else None,
        scale=scale,
        # Rounding takes likelihood away, as a smaller scale does.
        served_scale=None if rounded else _served_scale(rows, served, scale),
    )


def _served_scale(rows: Sequence[ProofRow], served: Sequence[float], scale: float) -> float | None:
    """The stored scale other than the meant one that the server's likelihoods are at, 0 for the base; None for none.

    Where answers are learned so well that the last part of the adapter adds little, another scale can lie within the
    tolerance. It is taken for the served one where it is at most half as far off as the meant one: what number formats
    do to a row pulls it to no side, so that it does not bring the rows of a right scale that close to another.
    """
    off = {
        known: fmean(abs(s - row.at(known)) for s, row in zip(served, rows, strict=True))
        for known in {scale, *rows[0].scales}
    }
    nearest = min(off, key=off.__getitem__)
    return nearest if 2 * off[nearest] < off[scale] else None
