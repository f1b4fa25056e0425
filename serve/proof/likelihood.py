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
from configs.handover import ProofFigures, ProofRow, read_rows
from configs.prompt_logprobs import read_prompt_logprobs
from configs.schema import ProofConfig
from serve.api.client import ServerClient, in_parallel


class Proof(ProofFigures):
    """The verdict in words."""

    def sentence(self) -> str:
        """One sentence for the terminal."""
        if self.mean_effect == 0:
            return "the adapter changes no answer's likelihood, so nothing can be proved: training had no effect"
        share = f"{100 * self.mean_gap / self.mean_effect:.2f} % of what the adapter changes"
        allowed = f"allowed {100 * self.tolerance:g} %"
        kept = f"{100 * self.recovered:.{1 if self.rounded else 0}f} % of the adapter's gain is there"
        what = "rounded weights" if self.rounded else "served weights"
        if self.rounded:
            kept += f", perplexity of the answers x {math.exp(-self.shift_per_token):.4f}"
        if self.passed and self.rounded:
            return f"{what} stay close to the trained ones: off by {share} ({allowed}) on {self.rows} answers; {kept}"
        if self.passed:
            return f"{what} are the trained ones: off by {share} on {self.rows} held-out answers"
        if self.mean_gap > self.bound:
            return f"{what} are NOT the trained ones: off by {share} ({allowed}); {kept}"
        return (
            f"{what} are NOT the trained ones: row {self.worst_row} is off by {self.worst_gap:.3f} nats "
            f"(allowed {self.row_factor * self.bound:.3f}), though the mean is within its bound"
        )


def check_proof(client: ServerClient, model: str, file: Path, config: ProofConfig, rounded: bool = False) -> Proof:
    """Reads the answers' likelihoods through the server and compares them with the stored ones.

    Args:
        client: a server that is ready.
        model: name to ask for.
        file: the run's proof.jsonl.
        config: the bounds.
        rounded: whether what is served was rounded to fewer bits; it has a wider bound.

    Raises:
        TuneserveError: the file is missing or has no rows, or the server gives no likelihoods.
    """
    rows = read_rows(file, ProofRow, "train")
    if not rows:
        raise TuneserveError(f"{file}: no rows in it, so nothing can be proved", "train again with data held out")
    served = in_parallel(lambda row: answer_logprob(client, model, row.input_ids, row.answer_start), rows)
    return proof_of(rows, served, config, rounded)


def answer_logprob(client: ServerClient, model: str, input_ids: Sequence[int], answer_start: int) -> float:
    """Log-likelihood in nats of `input_ids[answer_start:]` given what stands before, under a served model.

    Raises:
        TuneserveError: vLLM answers without a likelihood for some token of the answer.
    """
    body = {"model": model, "prompt": list(input_ids), "max_tokens": 1, "prompt_logprobs": 0, "temperature": 0}
    read = read_prompt_logprobs(input_ids, client.post("/v1/completions", body)["choices"][0])
    return sum(read[i - 1][input_ids[i]] for i in range(answer_start, len(input_ids)))


def proof_of(rows: Sequence[ProofRow], served: Sequence[float], config: ProofConfig, rounded: bool = False) -> Proof:
    """Compares served likelihoods with the stored ones.

    Args:
        rows: the stored rows.
        served: the server's likelihood of each row's answer, in the same order.
        config: the bounds.
        rounded: whether the wider bound holds.
    """
    adapter = [row.adapter_logprob for row in rows]
    base = [row.base_logprob for row in rows]
    gaps = [abs(s - a) for s, a in zip(served, adapter, strict=True)]
    gain = sum(adapter) - sum(base)
    tokens = sum(len(row.input_ids) - row.answer_start for row in rows)
    worst = max(range(len(rows)), key=gaps.__getitem__)
    return Proof(
        rows=len(rows),
        mean_gap=fmean(gaps),
        mean_effect=fmean(abs(b - a) for b, a in zip(base, adapter, strict=True)),
        tolerance=config.rounded_tolerance if rounded else config.tolerance,
        row_factor=config.row_factor,
        worst_row=rows[worst].id,
        worst_gap=gaps[worst],
        recovered=(sum(served) - sum(base)) / gain if gain else 0.0,
        shift_per_token=(sum(served) - sum(adapter)) / tokens,
        rounded=rounded,
    )
