"""What one part of a run hands to another: the manifest's facts, and the rows of the JSONL files between stages.

Nothing crosses from stage to stage as a bare mapping: a field that one side misspells, forgets or adds is an error that
names it. The data stage hands over `PreparedFacts`, `ParityRow` and `HeldoutRow`; training hands over `TrainedFacts`,
`TrainFigures` and `ProofRow`; a server that was checked hands over `ServedFigures`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, computed_field, model_validator

from configs.errors import TuneserveError
from configs.files import read_jsonl, write_jsonl

Family = Literal["none", "switchable", "always"]
"""How a chat template treats thinking: it never writes a think block, `enable_thinking` decides, or the prompt always
opens one."""


class HandedOver(BaseModel):
    """Something that one stage writes and another reads; every field's docstring is its documentation.

    Computed fields are written down for readers of the file, and computed again when it is read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _without_computed(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        return {key: value for key, value in raw.items() if key not in cls.model_computed_fields}


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
    scaled_logprobs: dict[float, float] = {}
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

    @computed_field  # type: ignore[prop-decorator]
    @property
    def usable(self) -> float:
        """Share of the questions that were answered whose answer can be used."""
        return round(1 - sum(self.unusable_answers.values()) / max(1, self.asked), 4)


class PreparedFacts(HandedOver):
    """What the data stage found out."""

    base_model: Path
    """Resolved local folder of the base."""
    family: Family
    """How its chat template treats thinking."""
    thinking: bool
    """Thinking mode that the rows were rendered for."""
    end_token: str
    """Token that ends an assistant's turn; the last label of every answer."""
    end_token_id: int
    """Its id."""
    template_sha256: str
    """Hash of the chat template's text."""
    system: str | None
    """System prompt that was put before conversations without one."""
    longest_row: int
    """Longest row in tokens, held-out rows included."""


class UnslothFacts(HandedOver):
    """What Unsloth did, read back from the model and the trainer as they stood."""

    version: str
    """Unsloth's version."""
    backend: Literal["cpu", "gpu"]
    """Where the model lay."""
    layers: int
    """Layers of the model."""
    patched_layers: dict[str, int]
    """Layers that run Unsloth's fused LoRA kernels, by kernel (qkv, o, mlp)."""
    adapted_linears: int
    """Linear layers with an adapter."""
    trainable_parameters: int
    """Numbers that training changes."""
    parameters: int
    """Numbers in all."""
    attention: str
    """Attention implementation."""
    precision: Literal["16bit", "8bit", "4bit"]
    """How the base was held, by the kind of its linear layers."""
    packing: bool
    """Whether TRL packed rows."""
    padding_free: bool
    """Whether rows were laid end to end."""
    gradient_checkpointing: bool
    """Whether activations were recomputed."""
    kept_layers: int
    """Layers that were left out of it."""
    optimizer: str
    """Optimizer, by its name in transformers."""
    dtype: str
    """Number format of the parameters."""
    bf16_autocast: bool
    """Whether autocast computed in bf16."""


class Plan(HandedOver):
    """The layout of training."""

    rows_per_step: int
    """Rows of one optimizer step."""
    micro_batch: int
    """Rows of one forward pass."""
    accumulation: int
    """Forward passes of one optimizer step on each GPU; rows_per_step = micro_batch * accumulation * gpus, or less
    where the rows do not divide by the GPUs."""
    gpus: int = 1
    """GPUs, each with the whole model and its part of the rows of a step."""
    padding_free: bool
    """Whether rows are laid end to end."""
    checkpointing: Literal["unsloth", "on", "off"]
    """Whether activations are recomputed, and by whom."""
    kept_layers: int = 0
    """Layers that keep their activations although the others recompute them."""
    turned_copy: bool = False
    """Whether weights in FP8 are held a second time, with rows and columns changed, for the backward pass."""
    dtype: Literal["bfloat16", "float16", "float32"]
    """Number format of weights and activations."""
    optimizer: str
    """Optimizer, by its name in transformers."""
    learning_rate: float
    """Peak rate; differs from the recipe's only under `rows_per_step: auto`."""
    graphs: bool
    """Whether steps are recorded as CUDA graphs."""
    group_by_length: bool
    """Whether rows of like length share a forward pass, which is what saves padding."""
    reasons: dict[str, str]
    """Why, by the decision's name."""

    def summary(self) -> str:
        """One line for the log of a run."""
        laid_out = "padding-free" if self.padding_free else "padded, rows of like length together"
        return (
            f"{self.rows_per_step} rows a step = {self.micro_batch} x {self.accumulation}"
            f"{f' on each of {self.gpus} GPUs' if self.gpus > 1 else ''}, {laid_out}; {self.dtype}, "
            f"checkpointing {self.checkpointing}{f' but for {self.kept_layers} layers' if self.kept_layers else ''}, "
            f"{'two copies of the weights in FP8, ' if self.turned_copy else ''}"
            f"{self.optimizer} at {self.learning_rate:.3g}"
            f"{', steps recorded as CUDA graphs' if self.graphs else ''}"
        )


class TrainedFacts(HandedOver):
    """What training found out."""

    lora_rank: int
    """Rank of the adapter."""
    lora_modules: list[str]
    """Layers that got one."""
    precision_asked: Literal["16bit", "8bit", "4bit"]
    """How the recipe wanted the base to be held."""
    unsloth: UnslothFacts
    """What Unsloth did of it."""
    plan: Plan
    """The layout that the training ended under."""
    backed_off_from: Plan | None
    """The layout that ran out of memory before; None where none did."""


class RecordedFigures(HandedOver):
    """Which forward and backward passes came from CUDA graphs."""

    sizes: list[int]
    """Tokens of every size that was recorded."""
    mean_tokens: float
    """Mean tokens of a recorded pass, what fills it up included."""
    passes: int
    """Passes that came from a recording."""
    other_passes: int
    """Passes that did not."""
    gradient_cosine: float | None
    """Cosine between the first recorded gradient and the unrecorded one of the same step."""
    off: str
    """Why nothing was recorded any more; empty where nothing went wrong."""
    updates_off: str
    """Why the updates were not recorded; empty where they were."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def share(self) -> float:
        """Share of the passes that came from a recording."""
        return round(self.passes / max(1, self.passes + self.other_passes), 4)


class LoopFigures(HandedOver):
    """What the training loop measured, on all GPUs together."""

    steps: int
    """Optimizer steps, those before a resume included."""
    loss: float
    """Mean training loss over all those steps, in nats per trained token."""
    heldout_loss: float | None
    """Loss on held-out rows at the last evaluation."""
    best_heldout_loss: float | None
    """The lowest one, where the recipe keeps the best."""
    train_seconds: float
    """Seconds of training since the start or the resume."""
    tokens_per_s: float
    """Tokens a second, padding left out."""
    peak_gb: float
    """Peak memory in GB of 1e9 bytes: the GPU's (the fullest of several), or this process's on a CPU."""
    first_batch_rows_checked: int
    """Answers of the first batch that were decoded and compared with the data."""
    recorded: RecordedFigures | None = None
    """What was recorded as CUDA graphs; None where nothing was to be."""


class TrainFigures(LoopFigures):
    """What training measured: the figures of the stage `train`, which report and model card show."""

    gpus: int = 1
    """GPUs that trained together."""
    device: str
    """What trained."""
    planned_steps: int
    """Optimizer steps that were planned."""
    learning_rate: float
    """Peak learning rate."""
    resumed_from: str | None
    """Checkpoint that training went on from."""
    backed_off: bool
    """Whether memory ran out and a smaller layout was taken."""


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
        return self.mean_effect > 0 and near and self.served_scale is None


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


ScaleLimit = Literal["gain", "drift", "short"]
"""What a scale may fall short of: the held-out gain, the likelihood of general answers, or their length."""


class ScalePoint(HandedOver):
    """What the adapter learned and what it changed elsewhere where it counts `scale` times as much."""

    scale: float
    """How much it counts."""
    gain: float
    """How much likelier held-out answers became than under the base, in nats a token."""
    gain_share: float
    """The same as a share of the largest gain of all scales."""
    accuracy: float
    """Share of the held-out answers' tokens that the model would have chosen itself."""
    accuracy_share: float
    """What it gained over the base's as a share of the largest such gain; 1 where that is too small to tell."""
    drift: float
    """How much less likely the base's own answers to unseen general questions became, in nats a token."""
    short_share: float
    """Share of unseen general questions whose answer suddenly ended early, less the base's own share."""
    beyond: list[ScaleLimit]
    """Limits that it does not keep; empty for one that may be taken."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def kept(self) -> float:
        """Share of the gain that is kept: the smaller one of likelihood and accuracy."""
        return min(self.gain_share, self.accuracy_share)


class MeasuredScale(HandedOver):
    """RUN/scales/SCALE.json: what a served model gave while the adapter counted `scale` times as much."""

    scale: float
    """How much it counted; 0 is the base."""
    heldout: list[float]
    """Log-likelihood of each held-out answer in nats, summed over its tokens."""
    chosen: list[int]
    """Tokens of each held-out answer that the model would have chosen itself."""
    general: list[float]
    """The same for each of the base's own answers to unseen general questions."""
    early: list[bool]
    """For each question whose answer's length is compared: whether it ended within a quarter of the base's tokens."""


class ScaleFacts(HandedOver):
    """How much the adapter counts, and why: what `merge.scale: auto` chose from."""

    scale: float
    """The scale that was chosen."""
    points: list[ScalePoint]
    """All scales that were served, in rising order."""
    least_kept: float
    """Smallest share of the gain that was allowed."""
    most_drift: float
    """Largest drift that was allowed, in nats a token."""
    most_short_share: float
    """Largest share of suddenly short answers that was allowed."""
    heldout_rows: int
    """Held-out answers that the gain was measured on."""
    general_rows: int
    """Answers of the base to unseen questions that the drift was measured on."""
    length_rows: int
    """Of these, those whose length was compared: the longer half."""
    base_accuracy: float
    """Share of the held-out answers' tokens that the base would have chosen itself."""
    base_short_share: float
    """Share of early ends of the base itself, asked in the same way."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def satisfied(self) -> bool:
        """Whether the chosen scale keeps every limit."""
        return any(point.scale == self.scale and not point.beyond for point in self.points)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def learned(self) -> bool:
        """Whether held-out answers became likelier at all, so that there was something to weigh."""
        return any(point.gain > 0 for point in self.points)


class Finding(HandedOver):
    """Something that was found out about a model of another trainer."""

    key: str
    """Key of its text in `configs/texts`; the text of a fault ends with the next step."""
    values: dict[str, str | int | float] = {}
    """What is put into the text."""
    fault: bool
    """Whether it makes the verdict `failed`, or is only told."""


def fault(key: str, **values: str | int | float) -> Finding:
    """A finding that makes the verdict `failed`."""
    return Finding(key=key, values=values, fault=True)


def told(key: str, **values: str | int | float) -> Finding:
    """A finding that is only told."""
    return Finding(key=key, values=values, fault=False)


class RenderingScore(HandedOver):
    """How likely a model finds the answers of its rows under one way of rendering them."""

    names: list[str]
    """Every way that gives these ids, and who renders so."""
    rows: int
    """Conversations."""
    nats: float
    """Mean over them of the answer's log-likelihood in nats, without its end-of-turn token."""
    likelier: int
    """Conversations whose answer is likelier under the first of all renderings than under this one."""


class ForeignFacts(HandedOver):
    """What was found out about a model of another trainer before it was served."""

    kind: Literal["adapter", "merged", "merged with adapter"]
    """What was given."""
    trainer: str | None
    """Who made it, where its files tell."""
    rendering: str
    """How it was trained to be asked: what parity holds the server to."""
    renderings: list[RenderingScore]
    """All that were looked at, the likeliest first; empty where its rows are not known."""
    end_probability: float | None
    """Geometric mean of the probability of the end-of-turn token behind the rows' answers; None without rows."""
    thinking: bool
    """Thinking mode of the served template that comes nearest to it."""
    longest_answer: int
    """Longest answer of the rows, in tokens."""
    findings: list[Finding]
    """Faults first."""


class Facts(HandedOver):
    """What one part learned and another needs; each part fills in its own field."""

    prepared: PreparedFacts | None = None
    """The data stage's."""
    planned: Plan | None = None
    """The layout that training began under; a resumed training keeps its rows a step and its rate."""
    trained: TrainedFacts | None = None
    """Training's."""
    foreign: ForeignFacts | None = None
    """What was found of a model that another trainer made."""
    served: ServedFigures | None = None
    """What the last server of this run was found to be."""
    exported: dict[str, ServedFigures] = {}
    """The same for folders that were exported from this run, by folder."""


Row = TypeVar("Row", bound=HandedOver)


def write_rows(file: Path, rows: Iterable[HandedOver]) -> None:
    """Writes the rows of a stage, one a line, atomically."""
    write_jsonl(file, (row.model_dump(mode="json") for row in rows))


def read_rows(file: Path, kind: type[Row], stage: str) -> list[Row]:
    """The rows that a stage wrote.

    Args:
        stage: the stage that writes them, for the next step.

    Raises:
        TuneserveError: the file is missing, or a line is not such a row; line, field and value are named.
    """
    run = next((folder for folder in file.parents if (folder / "config.yaml").is_file()), file.parent.parent)
    again = f"run the {stage} stage again: `tuneserve train {run}/config.yaml`"
    if not file.is_file():
        raise TuneserveError(f"{file}: missing; the {stage} stage writes it", again)
    rows = []
    for number, raw in read_jsonl(file):
        try:
            rows.append(kind.model_validate(raw))
        except ValidationError as error:
            raise TuneserveError(f"{file}, line {number}: {what_is_wrong(error)}", again) from error
    return rows


def what_is_wrong(error: ValidationError) -> str:
    """The first fault that pydantic found, as `facts.prepared.end_token_id: Field required (seen: ...)`."""
    fault = error.errors()[0]
    place = ".".join(map(str, fault["loc"])) or "the whole"
    seen = "" if fault["type"] == "missing" else f" (seen: {str(fault['input'])[:60]!r})"
    more = f", and {error.error_count() - 1} more" if error.error_count() > 1 else ""
    return f"{place}: {fault['msg']}{seen}{more}"
