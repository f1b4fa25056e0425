"""What was seen through the server: parity, proof, behaviour."""

from __future__ import annotations

from pydantic import computed_field

from configs.handover.base import HandedOver


class Difference(HandedOver):
    """The first conversation whose prompt ids differ, and how."""

    row: str
    """Id of the training conversation."""
    position: int
    """Index of the first token that differs."""
    trained_tokens: int
    """Length of the trained prompt."""
    served_tokens: int
    """Length of the prompt that the server built."""
    trained_text: str
    """The trained prompt, decoded by the server, special tokens shown."""
    served_text: str
    """The server's prompt, decoded likewise."""


class ParityFigures(HandedOver):
    """How many prompts the server builds as they were trained."""

    rows: int
    """Conversations compared."""
    equal: int
    """Of these, with exactly the same ids."""
    difference: Difference | None = None
    """The first that is not."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def passed(self) -> bool:
        """Whether every prompt is equal, and there was at least one."""
        return self.rows > 0 and self.equal == self.rows


class ProofFigures(HandedOver):
    """Likelihoods of held-out answers in nats, summed over the answer's tokens, and the verdict."""

    rows: int
    """Rows compared."""
    mean_gap: float
    """Mean over the rows of |served - adapter|."""
    mean_effect: float
    """Mean over the rows of |base - adapter|: what the adapter changes."""
    tolerance: float
    """Largest `mean_gap`, as a share of `mean_effect`."""
    row_factor: float
    """No row may be off by more than this many times the bound of the mean."""
    worst_row: str
    """Id of the row that is off the most."""
    worst_gap: float
    """|served - adapter| of that row."""
    recovered: float
    """Share of the adapter's gain that the served weights have: (served - base) / (adapter - base), over all rows."""
    shift_per_token: float
    """Mean of served - adapter over all answer tokens; exp(-shift) is the change of the perplexity."""
    rounded: bool = False
    """Whether the served weights were rounded to fewer bits, so that some loss is expected and its size is stated."""
    trained_bits: int = 16
    """Bits of the base's weights while the adapter was trained; below 16 the gaps hold what rounding them had done."""
    mean_shift: float = 0.0
    """Mean over the rows of served - adapter."""
    shift_tolerance: float | None = None
    """Largest `mean_shift`, as a share of `mean_effect`; None where the gaps alone decide."""
    scale: float = 1.0
    """How much the adapter is meant to count; the likelihoods and effects above are at this scale."""
    served_scale: float | None = None
    """The other scale whose likelihoods the server gives, 0 for the base; None where it gives those of `scale`."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def bound(self) -> float:
        """Largest allowed `mean_gap` in nats."""
        return self.tolerance * self.mean_effect

    @computed_field  # type: ignore[prop-decorator]
    @property
    def passed(self) -> bool:
        """Whether the served weights are the trained ones, within the bounds."""
        near = self.mean_gap <= self.bound and self.worst_gap <= self.row_factor * self.bound
        return self.mean_effect > 0 and near and not self.shifted and self.served_scale is None

    @property
    def shifted(self) -> bool:
        """Whether the gaps go to one side, as those of rounding do not."""
        return self.shift_tolerance is not None and abs(self.mean_shift) > self.shift_tolerance * self.mean_effect


class Switched(HandedOver):
    """One request in the thinking mode that is not the default."""

    thinking: bool
    """Mode that was asked for."""
    content: bool
    """Whether the answer had content."""
    reasoning: bool
    """Whether it had reasoning."""
    finish_reason: str
    """`stop`, or `length` when the thoughts used up the tokens."""

    @property
    def passed(self) -> bool:
        """Whether no text was lost: an answer that ended by itself has content."""
        return self.content or (self.finish_reason == "length" and self.reasoning)


MIN_STOP_RATE = 0.9
"""Below this share of answers that end by themselves, something is wrong with the end-of-turn token."""


class BehaviourFigures(HandedOver):
    """Shares over the answers to held-out prompts, asked like a plain OpenAI client asks."""

    answers: int
    """Prompts asked."""
    stop_rate: float
    """Share that ended with `finish_reason` `stop`."""
    think_leak_rate: float
    """Share whose content holds `<think>` or `</think>`."""
    null_rate: float
    """Share whose content is null or empty."""
    switched: Switched | None = None
    """The request in the other thinking mode; None where the template cannot switch."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def passed(self) -> bool:
        """Whether a plain client is served well."""
        default = self.stop_rate >= MIN_STOP_RATE and self.think_leak_rate == 0 and self.null_rate == 0
        return default and (self.switched is None or self.switched.passed)


class ServedFigures(HandedOver):
    """What was found out about a served model."""

    parity: ParityFigures
    """Token ids against the trained ones."""
    proof: ProofFigures | None
    """Likelihoods against the trained ones; None where the run has no proof rows (full fine-tuning)."""
    behaviour: BehaviourFigures | None = None
    """How it meets a plain client; None where only the weights were checked."""
