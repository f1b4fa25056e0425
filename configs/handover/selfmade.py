"""What the base wrote before training: its rows, and what is told of them."""

from __future__ import annotations

import base64
import math
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic import computed_field, model_validator

from configs.handover.base import HandedOver
from configs.prompt_logprobs import TOP


class SelfMadeRow(HandedOver):
    """A line of RUN/data/selfmade/train.jsonl or unseen.jsonl: a question and an answer that the base wrote itself."""

    id: str
    """`self:NUMBER`, the number of the draw; equal for runs that share the base's rows."""
    language: str
    """Language of the question, by its two letters (`zh`, `en`)."""
    kind: str | None
    """Name of the steering prompt that the question was drawn with; None where nothing steered it."""
    messages: list[dict[str, Any]]
    """The user's question and the assistant's answer; reasoning stands in `reasoning_content`."""
    prompt_ids: list[int]
    """Token ids that the server built for the question, up to where the answer begins."""
    answer_ids: list[int]
    """Token ids that the base answered with; the last one ends its turn."""
    base_logprob: float | None
    """Log-likelihood in nats of `answer_ids` under the base, summed over its tokens, read through the server's
    `prompt_logprobs`; None for rows that are trained, on which nothing is measured."""
    use: Literal["train", "unseen"]
    """Whether it is trained, or kept out of training so that what was kept can be measured on it."""

    @model_validator(mode="after")
    def _measured(self) -> SelfMadeRow:
        if self.use == "unseen" and self.base_logprob is None:
            raise ValueError("a row that is kept out of training has a base_logprob")
        return self


class SoftTargets(HandedOver):
    """A line of RUN/data/selfmade/soft_targets.jsonl: which tokens the base thought likely while it wrote an answer.

    At each place of the answer stand its 20 most likely tokens, the likeliest first, one place after the other.
    """

    number: int
    """Number of the draw; the row is `self:NUMBER`."""
    token_ids: str
    """Their token ids as 32-bit integers in base64."""
    logprobs: str
    """Their log-probabilities (natural logarithm) as 32-bit floats in base64."""

    @model_validator(mode="after")
    def _sound(self) -> SoftTargets:
        ids, logprobs = self.arrays()
        if not ids or len(ids) != len(logprobs) or len(ids) % TOP:
            raise ValueError(f"{len(ids)} token ids and {len(logprobs)} log-probabilities are not {TOP} a place")
        if min(ids) < 0 or not all(math.isfinite(value) and value < 1 for value in logprobs):
            raise ValueError("a negative token id, or a number that is no log-probability")
        return self

    @classmethod
    def of(cls, number: int, places: Sequence[Sequence[tuple[int, float]]]) -> SoftTargets:
        """From (token id, log-probability) of each token at each place."""
        ids = array("i", (token for place in places for token, _ in place))
        logprobs = array("f", (logprob for place in places for _, logprob in place))
        packed = [base64.b64encode(values.tobytes()).decode() for values in (ids, logprobs)]
        return cls(number=number, token_ids=packed[0], logprobs=packed[1])

    def arrays(self) -> tuple[array[int], array[float]]:
        """Token ids and log-probabilities, `TOP` of each a place.

        Raises:
            ValueError: it is no base64, or no whole numbers of 32 bits.
        """
        ids, logprobs = array("i"), array("f")
        ids.frombytes(base64.b64decode(self.token_ids, validate=True))
        logprobs.frombytes(base64.b64decode(self.logprobs, validate=True))
        return ids, logprobs


class Spread(HandedOver):
    """Lengths of several texts, in tokens or in characters."""

    p10: int
    """A tenth of them is this short or shorter."""
    p50: int
    """The median."""
    p90: int
    """A tenth of them is this long or longer."""
    longest: int
    """The longest."""

    @classmethod
    def of(cls, lengths: Iterable[int]) -> Spread:
        """The spread of some lengths, of which there is at least one."""
        ordered = sorted(lengths)
        p10, p50, p90 = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.1, 0.5, 0.9))
        return cls(p10=p10, p50=p50, p90=p90, longest=ordered[-1])


class SelfMadeExample(HandedOver):
    """A row that the base wrote, for people's eyes."""

    id: str
    """Id of the row."""
    kind: str | None
    """Name of the prompt that steered its question; None where nothing did."""
    language: str
    """Language of the question."""
    question: str
    """The question, cut where it is long."""
    answer: str
    """The answer, cut where it is long."""


class SelfMadeReport(HandedOver):
    """RUN/data/selfmade/report.json: what the base wrote, and what became of it."""

    drawn: int
    """Questions that were drawn."""
    unusable_questions: dict[str, int]
    """Of these, those that were not asked for a fault of theirs, by reason."""
    asked: int
    """Questions that were answered."""
    unusable_answers: dict[str, int]
    """Answers that were left out, by reason."""
    train: int
    """Rows that are trained."""
    unseen: int
    """Rows that are kept out of training, to measure on."""
    wanted_languages: dict[str, float]
    """Languages of the user's rows, with their shares."""
    languages: dict[str, int]
    """Rows by the language of their question."""
    kinds: dict[str, int]
    """Rows by the prompt that steered their question; `free` counts those that nothing steered."""
    question_tokens: Spread
    """Lengths of the rows' prompts, what the chat template adds included."""
    answer_tokens: Spread
    """Lengths of their answers."""
    written_tokens: int
    """All tokens that the base wrote for these rows, unusable ones included."""
    trained_tokens: int
    """Answer tokens of the rows that are trained."""
    unwritten: list[str]
    """Languages that were asked for and that the base does not write, by their two letters."""
    examples: list[SelfMadeExample]
    """Ten rows, drawn by the seed."""
    soft_targets: int = 0
    """Trained rows whose every place has the base's most likely tokens, to be trained instead of the written one."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def usable(self) -> float:
        """Share of the questions that were answered whose answer can be used."""
        return round(1 - sum(self.unusable_answers.values()) / max(1, self.asked), 4)
