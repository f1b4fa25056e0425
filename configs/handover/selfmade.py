"""What the base wrote before training: its rows, and what is told of them."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
from pydantic import computed_field, model_validator

from configs.handover.base import HandedOver
from configs.handover.prompt_logprobs import TOP

_STEPS = 1 << 14
"""Log-probabilities are kept to half a step: a probability of them is right to 1 in 16,000."""
_LEAST_LOGPROB = -1e4
"""Anything below is as good as impossible; vLLM itself says no less than -9999."""
_MOST_BYTES = 1 << 28
"""Of an answer's likely tokens as they are unpacked: more places than any model reads at once."""


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

    At each place of the answer stand its 20 most likely tokens, the likeliest first.
    """

    number: int
    """Number of the draw; the row is `self:NUMBER`."""
    likely: str
    """Their ids and log-probabilities (natural logarithm, in steps of 1/16384), packed as `of` does: about 110
    characters a place."""

    @model_validator(mode="after")
    def _sound(self) -> SoftTargets:
        ids, logprobs = self.arrays
        if ids.min() < 0 or logprobs.max() >= 1:
            raise ValueError("a negative token id, or a number that is no log-probability")
        return self

    @classmethod
    def of(cls, number: int, places: Sequence[Sequence[tuple[int, float]]]) -> SoftTargets:
        """From (token id, log-probability) of each token at each place.

        Ids and what each log-probability lies above the one before it, as 32-bit integers (little-endian). What is
        alike lies together, so that it packs well: first the lowest bytes of all of them, rank by rank.
        """
        ids, logprobs = np.moveaxis(np.array(places, dtype=np.float64), 2, 0)
        steps = np.diff(np.rint(logprobs.clip(_LEAST_LOGPROB) * _STEPS), axis=1, prepend=0)
        values = np.stack([ids, steps]).astype("<i4")
        planes = values.view(np.uint8).reshape(*values.shape, 4).transpose(3, 0, 2, 1)
        return cls(number=number, likely=base64.b64encode(zlib.compress(planes.tobytes(), 1)).decode())

    @cached_property
    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Token ids and log-probabilities, each (places, `TOP`), int32 and float32.

        Raises:
            ValueError: something else is packed there.
        """
        unpacker = zlib.decompressobj()
        try:
            data = unpacker.decompress(base64.b64decode(self.likely, validate=True), _MOST_BYTES)
        except zlib.error as error:
            raise ValueError(str(error)) from error
        if not unpacker.eof or not data or len(data) % (8 * TOP):
            raise ValueError(f"{len(data)} bytes are not {TOP} token ids and log-probabilities a place")
        planes = np.frombuffer(data, np.uint8).reshape(4, 2, TOP, -1).transpose(1, 3, 2, 0)
        ids, steps = np.ascontiguousarray(planes).view("<i4")[..., 0]
        return ids.astype(np.int32), (steps.cumsum(1) / _STEPS).astype(np.float32)


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
