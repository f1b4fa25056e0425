"""What a run is: every key of a recipe, its type, its default and its meaning.

A recipe is YAML that becomes a `RunConfig`. Unknown keys are refused; `configs.recipe.load` turns what pydantic finds
into one report with file, line, key and the nearest known key. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from configs.errors import without_credentials
from configs.model.shape import ATTENTION, MLP
from configs.recipe.names import FileName, ModelName, VariableName
from configs.tables.columns import COLUMNS, part_of
from configs.terminal.nearest import did_you_mean, nearest

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(gt=0, lt=2**31)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
LARGEST_SCALE = 2
AdapterScale = Annotated[float, Field(gt=0, le=LARGEST_SCALE)] | Literal["auto"]
GgufQuant = Literal[
    "f16", "bf16", "q8_0", "q6_k", "q5_k_m", "q5_k_s", "q4_k_m", "q4_k_s", "q3_k_l", "q3_k_m", "q3_k_s", "q2_k"
]
Optimizer = Literal[
    "auto", "adamw_torch", "adamw_torch_fused", "adamw_8bit", "adamw_bnb_8bit", "adamw_torch_8bit", "adamw_torch_4bit",
    "paged_adamw_8bit", "paged_adamw_32bit", "adafactor", "sgd", "adagrad", "rmsprop", "rmsprop_bnb",
    "rmsprop_bnb_8bit", "rmsprop_bnb_32bit", "lion_8bit", "lion_32bit", "paged_lion_8bit", "paged_lion_32bit",
    "ademamix", "ademamix_8bit", "paged_ademamix_8bit", "paged_ademamix_32bit",
]  # fmt: skip
"""Those of transformers that need no further package and no arguments of their own."""

LINEAR_LAYERS = [*ATTENTION, *MLP]

SERVED_LAYERS = [*LINEAR_LAYERS, "in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a", "out_proj"]
"""Layers in which vLLM was seen to add an adapter beside a base: attention's, the MLP's, and Qwen3.5's linear
attention's."""

SERVED_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values that vLLM takes for `--max-lora-rank`."""


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Argument = Annotated[str, BeforeValidator(_number_as_text)]
"""A word of a command line; YAML reads `8000` as a number."""


def _branches(annotation: Any) -> Iterator[Any]:
    """The types and words of which a value may be one, those inside lists and mappings left out."""
    if get_origin(annotation) in (Union, UnionType, Annotated, Literal):
        for part in get_args(annotation):
            yield from _branches(part)
    else:
        yield annotation


class Section(BaseModel):
    """A part of the recipe: unknown keys are errors, and every field's docstring is its documentation."""

    model_config = ConfigDict(
        extra="forbid", validate_default=True, use_attribute_docstrings=True, frozen=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: object, field: ValidationInfo) -> object:
        """YAML reads `on` and `off` as true and false: words where a key takes these words, and never 1 and 0."""
        if not isinstance(value, bool) or not field.field_name:
            return value
        kinds = list(_branches(cls.model_fields[field.field_name].annotation))
        word, written = ("on", "true") if value else ("off", "false")
        if bool not in kinds and word in kinds:
            return word
        if bool not in kinds and (int in kinds or float in kinds):
            raise ValueError(f"a number is wanted, and {written} is none")
        return value

    @field_validator("*")
    @classmethod
    def _holds_no_password(cls, value: object) -> object:
        """What a recipe holds stands in the run's name, files and reports."""
        texts = value if isinstance(value, list) else [value]
        if any(isinstance(text, str) and without_credentials(text) != text for text in texts):
            raise ValueError("user and password in an address would stand in the run's files; leave them out")
        return value


class SourceConfig(Section):
    """One place that conversations come from."""

    path: str
    """File, folder, glob or hub id; `path#500` is a seeded sample of 500 rows, `path#:500` the first 500."""
    format: Literal["auto", "alpaca", "sharegpt", "messages", "prompt_completion"] = "auto"
    """Layout of the rows; `auto` finds it by looking at them."""
    columns: dict[str, str] = {}
    """Maps the layout's field names to the columns that hold them, e.g. `{instruction: question, output: answer}`."""
    roles: dict[str, Literal["system", "user", "assistant", "tool", "call"]] = {}
    """Maps the data's own names of who speaks, e.g. `{buyer: user, seller: assistant}`."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """How often its rows are used, relative to one pass: 0.5 takes half of them, 2 repeats them."""
    split: str = "train"
    """Split of a hub data set; `train[:10000]` takes its first 10,000 rows."""
    subset: str | None = None
    """Configuration (subset) of a hub data set, or an entry of the `dataset_info.json` in the folder."""

    @field_validator("columns")
    @classmethod
    def _known_targets(cls, columns: dict[str, str]) -> dict[str, str]:
        for target, column in columns.items():
            if part_of(target) is None and target not in ("role", "content"):
                near = nearest(target, [*COLUMNS, "output", "prompt", "role", "content"], 1, 0.5)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise ValueError(
                    f"{{{target}: {column}}}: no layout reads a {target!r}{hint} It maps a layout's name to your "
                    "column, such as {instruction: my_question, output: my_answer}"
                )
        return columns


SHORTHANDS = {"data": "sources", "replay": "source", "heldout": "path", "source": "path"}
"""Sections that a recipe may write as one word or path, and the key that this stands for."""

SELF = "self"
"""The source of `data.replay` that stands for the base itself; a folder of that name is written `./self`."""


class ReplayConfig(Section):
    """General data mixed in so that the model keeps what it could do."""

    source: SourceConfig
    """Where the general conversations come from; `self` lets the base write them before training."""
    ratio: Annotated[float, Field(gt=0)] = 0.25
    """Replayed rows for each row of the user's data (0.25: one to four)."""

    @field_validator("source")
    @classmethod
    def _is_no_misspelt_self(cls, source: SourceConfig) -> SourceConfig:
        path = source.path
        if path != SELF and path.isalpha() and (meant := did_you_mean(path, [SELF])):
            raise ValueError(f"{meant} (A folder of this name is written ./{path}.)")
        return source

    @property
    def given(self) -> SourceConfig | None:
        """The data set that is mixed in; None where the base writes the rows itself."""
        return None if self.source.path == SELF else self.source


class SelfMadeConfig(Section):
    """General questions and answers that the base writes itself: trained by `replay: self`, or measured on."""

    min_rows: Positive = 256
    """Rows that `replay: self` trains at least, however few yours are."""
    unseen: Positive = 200
    """Further rows that are never trained: what the model kept is measured on them."""
    other_languages: Fraction = 0.25
    """Share of the questions in other languages than your rows are in."""
    question_tokens: Positive = 200
    """Longest question in tokens."""
    answer_tokens: Positive = 768
    """Longest answer in tokens, reasoning aside; a row also fits into data.max_length."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    """Sampling temperature of the answers; the questions are drawn at 1."""
    min_usable: Fraction = 0.6
    """The run stops when a smaller share of the questions that were asked has a usable answer."""
    soft_targets: Literal["auto"] | bool = "auto"
    """Train the base's own rows by its 20 likeliest tokens at each place; `auto`: where model and adapter allow it."""


class DataConfig(Section):
    """What is learned, and how conversations become token rows."""

    sources: Annotated[list[SourceConfig], Field(min_length=1)]
    """Where the conversations come from."""
    replay: ReplayConfig | None = None
    """General data against forgetting: `self`, or a data set of yours; none by default."""
    selfmade: SelfMadeConfig = SelfMadeConfig()
    """How the base writes rows itself."""
    heldout: SourceConfig | None = None
    """Conversations held out for the evaluation loss, the proof and the target task; else `eval_split` is cut off."""
    eval_split: Fraction = 0.05
    """Share of the conversations to hold out when `heldout` is not given."""
    max_heldout: Positive = 500
    """At most this many conversations are held out by `eval_split`, and asked of `data.heldout` (drawn by the seed)."""
    max_length: Positive = 4096
    """Longest row in tokens, prompt and answer together."""
    overlong: Literal["drop", "truncate_history", "error"] = "drop"
    """What happens to longer rows; the end of an answer is never cut."""
    turns: Literal["all", "last"] = "all"
    """Which assistant turns are trained."""
    system: str | None = None
    """System prompt put before conversations that have none."""
    max_dropped: Fraction = 0.05
    """The run stops when more than this share of the rows had to be dropped."""
    ignore_columns: list[str] = []
    """Columns and message keys that are meant to be left out, although they hold text."""
    repeated_prompts: Literal["drop", "keep"] = "drop"
    """Answers that are their question or begin with it: a fault, or right as in corrections and continuations."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Processes that tokenize; 0 takes one a core."""


class LoraConfig(Section):
    """The adapter."""

    r: Positive = 16
    """Rank."""
    alpha: Annotated[float, Field(gt=0)] = 16
    """Scale: the adapter counts alpha / r (alpha / sqrt(r) with rslora)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Anything but 0 turns Unsloth's fast kernels off."""
    bias: Literal["none", "all", "lora_only"] = "none"
    """Anything but `none` turns Unsloth's fast kernels off."""
    target_modules: Annotated[list[str], Field(min_length=1)] | Literal["auto"] = "auto"
    """Layers that get an adapter; `auto` takes every linear layer, of a mixture of experts those before the experts."""
    rslora: bool = False
    """Rank-stabilized scaling (Kalajdzievski 2023)."""
    dora: bool = False
    """Weight-decomposed adapters (Liu et al. 2024); vLLM serves them merged only."""
    modules_to_save: list[Literal["lm_head", "embed_tokens"]] = []
    """Whole layers trained beside the adapter; vLLM serves them merged only."""

    @property
    def named_modules(self) -> list[str]:
        """The layers by name; `auto`, where no model is at hand, stands for the usual seven."""
        return LINEAR_LAYERS if self.target_modules == "auto" else self.target_modules


class TrainConfig(Section):
    """How the adapter is trained."""

    method: Literal["lora", "full"] = "lora"
    """LoRA, or every weight."""
    continue_from: str | None = None
    """Earlier run to go on from: its merged weights take the place of `model`; the gate holds the result to both."""
    precision: Literal["16bit", "8bit", "4bit"] = "16bit"
    """How the base is held in training: bf16 (fp16 where the GPU has no bf16), FP8 (Ada, Hopper and later), or NF4."""
    plan: Literal["auto", "manual"] = "auto"
    """`auto` picks layout and checkpointing for the GPU at hand; `manual` takes what is written below."""
    num_gpus: Positive = 1
    """GPUs that train together, each with the whole model and its part of the rows of every step."""
    rows_per_step: Positive | Literal["auto"] = 8
    """Rows of one optimizer step; `auto` takes as many as pay off, and the rate, meant for 8, grows with their root."""
    micro_batch: Positive = 2
    """Rows in one forward pass under `plan: manual`."""
    padding_free: bool = True
    """Lay the rows of a forward pass end to end with their boundaries kept, instead of padding them."""
    gradient_checkpointing: Literal["unsloth", "on", "off"] = "unsloth"
    """Recompute activations to save memory, under `plan: manual`."""
    epochs: Annotated[float, Field(gt=0)] = 2
    """Passes over the rows."""
    max_steps: Annotated[int, Field(ge=0)] = 0
    """Stop after this many optimizer steps; 0 means by epochs."""
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 2e-5
    """Peak learning rate."""
    scheduler: Literal["linear", "cosine", "constant", "constant_with_warmup", "cosine_with_min_lr"] = "cosine"
    """Learning-rate schedule, by its name in transformers."""
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.03
    """Share of the steps in which the rate rises."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Decoupled weight decay."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients are clipped to this norm."""
    optimizer: Optimizer = "auto"
    """Optimizer, by its name in transformers; `auto` takes fused AdamW for an adapter, 8-bit AdamW for every weight."""
    cuda_graphs: Literal["auto", "off"] = "auto"
    """Record optimizer steps of few tokens as CUDA graphs, so that a fast GPU does not wait for Python."""
    neftune_noise_alpha: Annotated[float, Field(ge=0)] = 0
    """Noise on the embeddings while training (Jain et al. 2023); 0 is off."""
    eval_steps: Annotated[float, Field(ge=0)] = 0.25
    """Evaluate every so many steps (below 1: share of the run); 0 is off."""
    save_steps: Annotated[float, Field(ge=0)] = 0.25
    """Save a checkpoint every so many steps (below 1: share of the run); 0 is off."""
    save_total_limit: Positive = 2
    """Checkpoints kept."""
    early_stopping: Annotated[int, Field(ge=0)] = 0
    """Stop after this many evaluations without a better loss, and keep the best; 0 is off."""
    keep_best: bool = False
    """Take the checkpoint with the lowest evaluation loss instead of the last."""
    report_to: list[Literal["tensorboard", "wandb", "swanlab", "trackio", "mlflow"]] = []
    """Trackers, by their names in transformers; they need their own package, and none runs by default."""

    @field_validator("eval_steps", "save_steps")
    @classmethod
    def _steps_are_whole(cls, steps: float) -> float:
        if steps > 1 and not steps.is_integer():
            raise ValueError("a number of steps is whole, and a share of the run is below 1")
        return steps


class ProofConfig(Section):
    """How the served weights are proved to be the trained ones."""

    rows: Positive = 32
    """Held-out rows whose answers' log-likelihood is compared."""
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Largest mean |served - adapter|, as a share of the mean |base - adapter|."""
    row_factor: Annotated[float, Field(gt=1)] = 10.0
    """No row may be off by more than this many times the bound of the mean."""
    rounded_tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """The tolerance where weights are rounded, served in 8 or 4 bits from a folder or trained over in 8 (4 twice)."""
    parity_rows: Positive = 64
    """Training conversations whose token ids the server must reproduce."""


class MergeConfig(Section):
    """From adapter to weights that a server loads."""

    formats: Annotated[list[Literal["vllm", "gguf"]], Field(min_length=1)] = ["vllm"]
    """`vllm` (16-bit safetensors), `gguf`, or both."""
    gguf_quant: GgufQuant = "q8_0"
    """Number format of the GGUF file; the K-quants (`q4_k_m` and others) need llama.cpp's `llama-quantize`."""
    shard_gb: Annotated[float, Field(gt=0)] = 5.0
    """Largest shard of the merged weights, in GB of 1e9 bytes."""
    scale: AdapterScale = 1.0
    """How much the adapter counts once it is merged or served; `auto` takes as much as leaves general answers alone."""


class ServeConfig(Section):
    """The vLLM server."""

    name: ModelName | None = None
    """Model name that clients use; the run's name by default."""
    aliases: list[ModelName] = []
    """Further names for the same model."""
    host: str = "127.0.0.1"
    """Address to listen on; any address beyond loopback requires an API key."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    """Port to listen on."""
    api_key_env: VariableName = "TUNESERVE_API_KEY"
    """Environment variable that holds the API key; without it the server asks for none."""
    precision: Literal["auto", "bf16", "fp16", "fp8"] = "auto"
    """Number format of the served weights; `fp8` is made while loading."""
    batch_invariant: bool = False
    """Answers that do not depend on what shares their batch, by vLLM's own kernels on a GPU; slower."""
    max_model_len: Positive | Literal["auto"] = "auto"
    """Context length in tokens; `auto` fits it to the GPU's memory."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Share of the GPU's memory that vLLM takes."""
    tensor_parallel_size: Positive = 1
    """GPUs that share each layer."""
    pipeline_parallel_size: Positive = 1
    """GPUs that share the stack of layers."""
    data_parallel_size: Positive = 1
    """Replicas of the model."""
    ready_timeout_s: Positive = 1200
    """Give up when the server is not ready after this many seconds."""
    max_restarts: Annotated[int, Field(ge=0)] = 3
    """Crashes in a row after which a supervised server stays down."""
    cors_origins: list[str] = []
    """Origins that browsers may call from."""
    tool_calls: bool = True
    """Parse tool calls where the template has them."""
    args: list[Argument] = []
    """Further arguments for `vllm serve`, passed on unchanged."""

    @field_validator("precision", mode="before")
    @classmethod
    def _rounded_on_disk(cls, value: object) -> object:
        # vLLM's int8_per_channel_weight_only leaves the linear layers of a dense model as they are, without a word.
        if value in ("int8", "int4"):
            raise ValueError(
                f"vLLM does not make {value} weights while loading; export them with `tuneserve merge --model "
                f"RUN/adapter --save-as DIR --format {value}`, then `tuneserve serve DIR --against RUN`"
            )
        return value


class TaskConfig(Section):
    """One evaluation task."""

    name: FileName
    """Name in the report and of its files."""
    type: Literal[
        "qa", "summary", "choice", "number", "exact", "instruction",
        "cmrc", "drcd", "csl", "lcsts", "ceval", "cmmlu", "mmlu", "gsm8k", "builtin",
    ]  # fmt: skip
    """Kind of task: one of our own row formats, an official data set, or the built-in suite."""
    path: str | None = None
    """File or folder that holds it, or a hub id."""
    role: Literal["target", "retention"] = "retention"
    """Meant to get better (target), or to stay as it is (retention)."""
    group: str | None = None
    """Group that it is pooled into: knowledge, reasoning, instruction, english, ..."""
    limit: Positive | None = None
    """Seeded sample of this many items; all by default."""
    shots: Annotated[int, Field(ge=0)] | None = None
    """Examples before each question; the official number by default."""
    max_tokens: Positive | None = None
    """Longest answer in tokens; the task's own by default."""
    system: str | None = None
    """System prompt of every request."""
    subjects: list[str] = []
    """Subjects of a multiple-choice benchmark; all by default."""


class GateConfig(Section):
    """When a run passes: three-state non-inferiority against the base."""

    margin_points: Annotated[float, Field(gt=0)] = 2.0
    """A pooled group may lose at most this many points."""
    mean_margin_points: Annotated[float, Field(gt=0)] = 1.0
    """The mean over gated groups may lose this much, or as much as a group over the root of their number."""
    min_items: Positive = 700
    """Only pooled groups of at least this many items are gated; smaller ones are described."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Confidence of the one-sided bounds, over all looks together."""
    margin_nats: Annotated[float, Field(gt=0)] = 0.02
    """The base's own answers to unseen questions may become this much less likely, in nats a token."""
    block_items: Annotated[int, Field(ge=0)] = 750
    """Items of each gated group that the tuned model is asked between two looks at the verdict; 0 asks all at once."""
    power: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """What is planned passes a group that lost nothing with this probability; what is open then is asked on."""


class EvalConfig(Section):
    """What base and tuned are asked."""

    heldout: bool = True
    """Ask the run's own held-out rows as a target task."""
    tasks: list[TaskConfig] = []
    """Further tasks."""
    suite: Annotated[int, Field(ge=0)] = 6000
    """Items of each part of the built-in suite made by program; asked where no task is to be kept. 0: never."""
    gate: GateConfig = GateConfig()
    """The gate."""
    drift: bool = True
    """Measure how far the tuned model's likelihoods moved on general text."""
    repeat_base: bool = False
    """Ask the base twice, to find whether it differs from itself in one direction."""
    seed: Seed | None = None
    """Seed of samples and requests; the run's `seed` by default. Runs that share it share the base's answers."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """Sampling temperature, for base and tuned alike."""
    max_tokens: Positive = 256
    """Longest answer in tokens where the task does not say."""
    concurrency: Annotated[int, Field(ge=0, lt=10_000)] = 0
    """Requests in flight; 0 finds the level by itself."""
    timeout_s: Positive = 300
    """Give up on one request after this many seconds."""
    max_error_rate: Fraction = 0.02
    """Refuse to score when more of the requests than this failed for good."""


class ForeignConfig(Section):
    """A model that another trainer made; a run that has one judges it and trains nothing."""

    model: str
    """Folder or hub id of its merged 16-bit weights, or the folder of its PEFT adapter."""
    adapter: str | None = None
    """The adapter that merged weights were made with; they are then proved to be base and adapter."""
    template: str | None = None
    """How it was trained to be asked: a trainer's template name or a Jinja file. Found by likelihood otherwise."""
    thinking: bool | None = None
    """Thinking mode of the training; by default on where most rows hold reasoning."""
    rows_known: bool = True
    """Whether `data.sources` are the rows it was trained on; otherwise they are no evidence of how it was trained."""


class RunConfig(Section):
    """A whole run: data, training, merge, server, evaluation."""

    name: FileName
    """Name of the run, of its folder and, unless `serve.name` says otherwise, of the served model."""
    model: str
    """Base model: a folder, or a hub id such as `Qwen/Qwen3-14B`."""
    hub: Literal["huggingface", "modelscope"] = "huggingface"
    """Where hub ids are looked up."""
    offline: bool = False
    """Use only what is already on this machine."""
    output_dir: str = "runs"
    """Folder of the run directories."""
    seed: Seed = 42
    """Seed of everything that is drawn."""
    thinking: bool = False
    """Thinking mode that is trained, and that the server then uses by default."""
    data: DataConfig
    """What is learned."""
    foreign: ForeignConfig | None = None
    """A model of another trainer, judged in place of training one; written by `tuneserve judge`."""
    lora: LoraConfig = LoraConfig()
    """The adapter."""
    train: TrainConfig = TrainConfig()
    """How it is trained."""
    merge: MergeConfig = MergeConfig()
    """What is written."""
    proof: ProofConfig = ProofConfig()
    """How it is proved."""
    serve: ServeConfig = ServeConfig()
    """How it is served."""
    eval: EvalConfig = EvalConfig()
    """How it is evaluated."""

    @model_validator(mode="before")
    @classmethod
    def _shorthands(cls, raw: Any) -> Any:
        """Lets `data: path` and `sources: path` stand for the long form."""
        if not isinstance(raw, dict):
            return raw
        raw = dict(raw)
        if isinstance(raw.get("data"), str):
            raw["data"] = {"sources": raw["data"]}
        if isinstance(raw.get("data"), dict):
            raw["data"] = _expand_sources(raw["data"])
        return raw

    @property
    def eval_seed(self) -> int:
        """Seed of the questions that are drawn, and of the requests."""
        return self.seed if self.eval.seed is None else self.eval.seed

    @property
    def replays_itself(self) -> bool:
        """Whether rows that the base writes are trained."""
        return self.data.replay is not None and self.data.replay.given is None

    @property
    def wants_soft_targets(self) -> bool:
        """Whether those rows are to be trained by the base's own probabilities, where model and adapter allow it."""
        return self.replays_itself and self.data.selfmade.soft_targets is not False

    @property
    def measures_unseen(self) -> bool:
        """Whether something is measured on self-made rows that are kept out of training, so that they are made."""
        return self.replays_itself or self.merge.scale == "auto"

    @property
    def served_name(self) -> str:
        """Name under which clients find the tuned model."""
        return self.serve.name or self.name


def _expand_sources(data: dict[str, Any]) -> dict[str, Any]:
    data = dict(data)
    sources = data.get("sources")
    if isinstance(sources, str | dict):
        sources = [sources]
    if isinstance(sources, list):
        data["sources"] = [{"path": s} if isinstance(s, str) else s for s in sources]
    if isinstance(data.get("heldout"), str):
        data["heldout"] = {"path": data["heldout"]}
    replay = {"source": data["replay"]} if isinstance(data.get("replay"), str) else data.get("replay")
    if isinstance(replay, dict) and isinstance(source := replay.get("source"), str):
        data["replay"] = {**replay, "source": {"path": source}}
    return data
