"""Rows that the data and training stages write for the server's proof and the evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from configs.errors import TuneserveError
from configs.handover.base import HandedOver


def as_requested(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages as a server takes them: arguments of calls as JSON text, each call with an id and answered by it.

    Templates are given arguments as objects, by the trainer and by the server, which reads the text again.
    """
    found: list[dict[str, Any]] = []
    waiting: list[str] = []
    for message in messages:
        sent = dict(message)
        if calls := message.get("tool_calls"):
            sent["tool_calls"] = []
            for call in calls:
                name = str(call.get("id") or f"call_{len(found)}_{len(sent['tool_calls'])}")
                function = dict(call["function"])
                if not isinstance(function.get("arguments"), str):
                    function["arguments"] = json.dumps(function.get("arguments") or {}, ensure_ascii=False)
                sent["tool_calls"].append({**call, "id": name, "type": "function", "function": function})
                waiting.append(name)
        if message.get("role") == "tool":
            answered = str(message.get("tool_call_id") or "call")
            if answered not in waiting and waiting:  # the call that it answers had no id, or there was none to name
                answered = waiting[0]
            sent["tool_call_id"] = answered
            waiting = [name for name in waiting if name != answered]
        found.append(sent)
    return found


class ParityRow(HandedOver):
    """A line of RUN/data/parity.jsonl: a training conversation whose prompt ids the server must build again."""

    id: str
    """Where the conversation comes from, `file:row`."""
    messages: list[dict[str, Any]]
    """Messages before the trained answer."""
    tools: list[dict[str, Any]] | None
    """Tools that the conversation offers."""
    prompt_ids: list[int]
    """Token ids that were trained on as its prompt."""


class HeldoutRow(HandedOver):
    """A line of RUN/data/heldout.jsonl: a question for the evaluation that was not trained."""

    id: str
    """Where the conversation comes from, `file:row`."""
    cluster: str
    """Equal for conversations that ask the same; the statistics cluster by it."""
    messages: list[dict[str, Any]]
    """Messages up to the question."""
    tools: list[dict[str, Any]] | None = None
    """Tools that the conversation offers."""
    answers: list[str]
    """Accepted answers."""


class ProofAnswer(HandedOver):
    """A row whose answer is scored."""

    id: str
    """Id of the token row."""
    input_ids: list[int]
    """Token ids of prompt and answer."""
    answer_start: int
    """Index of the answer's first token; the answer runs from there to the end."""


class ServedAnswer(HandedOver):
    """A line of RUN/eval/proof_served.jsonl: the same answer, read through the server that was asked afterwards.

    With RUN/data/proof.jsonl it makes the figure of the proof: the mean of |served - adapter| over the mean of
    |base - adapter|.
    """

    id: str
    """Id of the row."""
    served_logprob: float
    """Log-likelihood of the answer in nats under the served weights, summed over its tokens."""


class ProofRow(ProofAnswer):
    """A line of RUN/data/proof.jsonl: what the trainer's model gave for a held-out answer."""

    base_logprob: float
    """Log-likelihood of the answer in nats under the base, summed over its tokens."""
    adapter_logprob: float
    """The same with the adapter."""
    scaled_logprobs: dict[float, float] = Field(default_factory=dict)
    """The same with the adapter counting s times as much, by s; empty where an adapter cannot be scaled."""

    def at(self, scale: float) -> float:
        """The likelihood with the adapter counting `scale` times as much.

        Raises:
            TuneserveError: training did not store it.
        """
        known = self._by_scale()
        if scale not in known:
            shown = ", ".join(f"{s:g}" for s in sorted(known) if s)
            raise TuneserveError(
                f"merge.scale is {scale:g}, and nothing could be proved: training stored the likelihoods of held-out "
                f"answers for {shown} only",
                "take one of these for merge.scale; another one has to be in the recipe when training ends",
            )
        return known[scale]

    @property
    def scales(self) -> list[float]:
        """Scales whose likelihood is stored; 0 is the base, 1 the adapter as it was trained."""
        return list(self._by_scale())

    def _by_scale(self) -> dict[float, float]:
        return {0.0: self.base_logprob, **self.scaled_logprobs, 1.0: self.adapter_logprob}
