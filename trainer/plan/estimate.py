"""How much memory and time training takes, before it starts: an explicit model with fitted coefficients. No torch.

Memory, the peak that the allocator reserves on a GPU:

    static   base weights + adapter with gradients and optimizer state + a constant
             + a buffer for unpacked 4-bit weights, or for FP8 weights with rows and columns changed
    kept     what the layers keep for the backward pass: all of it, or with recomputation one input a layer or nothing
             on the GPU, but for the layers that are kept whole
    passing  the larger of the loss (logits of one chunk) and one layer's backward pass
    reserved = static + (kept + passing) * (1 + share lost between blocks, larger where lengths vary)

Time of one optimizer step: the host issues the work while the GPU does it, and the slower of the two counts:

    host = micro-batches * layers * (time a layer) + tensors of the adapter * (time a tensor) + a constant
           (recorded as a CUDA graph: tensors of the adapter * (time a tensor), and a constant while the GPU waits)
    gpu  = micro-batches' operations / rate + bytes of activations and of unpacked or turned weights / bandwidth
           (products with weights in FP8 count a share of their operations)

`calibration.json` holds the measured rows and the coefficients that `scripts/bench/calibrate.py` fitted to them.
Other GPUs are scaled by their published rates and bandwidth; the host's share is taken as it was measured.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from configs.machine.gpus import Device
from configs.model.shape import ModelShape
from configs.recipe.schema import LINEAR_LAYERS
from trainer.plan.optimizers import state_bytes

Precision = Literal["16bit", "8bit", "4bit"]
Checkpointing = Literal["unsloth", "on", "off"]

CALIBRATION = Path(__file__).with_name("calibration.json")

CONTEXT_GB = 0.8
"""What CUDA itself takes of a GPU, outside the allocator."""
USABLE_SHARE = 0.97
"""Share of the rest that a plan may fill; the allocator cannot use the last bit of it."""
LOSS_BYTES_A_LOGIT = 16
"""Unsloth's own figure, by which it cuts the loss into chunks."""
LOSS_TARGET_BYTES = 4 * 2**30
"""Unsloth's budget for one chunk of the loss, or half the free memory where that is less."""
NF4_BYTES = 0.5 + (1 + 4 / 256) / 64
"""Bytes of one NF4 weight: half a byte, an 8-bit scale for 64 weights, a 32-bit scale for 256 of those."""


@dataclass(frozen=True)
class Coefficients:
    """What cannot be derived and is fitted to measurements."""

    # memory
    constant_gb: float = 0.3
    """Workspaces of cuBLAS and the like."""
    loss_bytes: float = 5.0
    """Bytes a logit of one chunk of the loss."""
    backward_factor: float = 3.0
    """Temporaries of one layer's backward pass, in widths of the MLP."""
    fragmented: float = 0.01
    """Share of the activations lost between the allocator's blocks when every micro-batch has the same length."""
    fragmented_varying: float = 0.3
    """The same where lengths vary."""
    fragmented_recorded: float = 0.35
    """The same where steps of several sizes are recorded as CUDA graphs."""
    # time on the GPU
    efficiency: float = 0.62
    """Share of the published rate that the products reach."""
    traffic: float = 2.0
    """How often the activations kept without checkpointing travel between memory and processor."""
    unpacking: float = 1.5
    """How often the bytes of 4-bit weights, packed and unpacked, travel, a pass."""
    fp8_speedup: float = 2.0
    """How many times as fast the products with weights in FP8 are as those in 16 bits; 2 by the published rates."""
    turning: float = 1.0
    """How often the bytes of FP8 weights travel, there and back, where a backward pass turns them."""
    # time on the host
    host_layer_ms: float = 5.0
    """Issuing one layer's forward and backward pass."""
    host_recompute: float = 0.5
    """More of it with checkpointing, as a share."""
    host_quantized: float = 0.1
    """More of it with 4-bit weights, as a share."""
    host_row_ms: float = 0.5
    """Issuing one layer's attention, forward and backward, for each further row that it takes by itself."""
    host_tensor_ms: float = 0.5
    """Clipping and updating one tensor of the adapter, by an optimizer that takes them one by one."""
    host_fused_tensor_ms: float = 0.05
    """The same by one that takes all at once."""
    host_step_ms: float = 50.0
    """The rest of an optimizer step: logging, the loader."""
    host_recorded_ms: float = 20.0
    """Between two steps that are recorded as CUDA graphs, while the GPU waits."""
    host_pass_ms: float = 2.0
    """Between two recorded passes of one step."""
    exchange_ms: float = 13.0
    """Between two steps of several GPUs, beside the time that the gradients travel: they never come in at once.

    Not fitted but taken from two H100s: what 8 short rows and 8 of 2,048 tokens took beyond their passes."""


@dataclass(frozen=True)
class Setup:
    """What is trained and how, apart from the batches."""

    shape: ModelShape
    precision: Precision = "16bit"
    checkpointing: Checkpointing = "unsloth"
    rank: int = 16
    modules: Sequence[str] = tuple(LINEAR_LAYERS)
    saved_modules: int = 0
    """Parameters trained whole beside the adapter (`lora.modules_to_save`)."""
    full: bool = False
    """Whether every weight is trained."""
    optimizer: str = "adamw_8bit"
    """By its name in transformers."""
    recorded: bool = False
    """Whether steps are recorded as CUDA graphs."""
    kept_layers: int = 0
    """Layers that keep their activations although the others recompute them."""
    turned_copy: bool = False
    """Whether weights in FP8 are held a second time, with rows and columns changed, for the backward pass."""

    @property
    def recomputed(self) -> float:
        """Share of the layers that are computed again in the backward pass."""
        return 0.0 if self.checkpointing == "off" else 1 - self.kept_layers / self.shape.layers

    @property
    def trained(self) -> int:
        """Trained parameters."""
        if self.full:
            return self.shape.parameters
        return self.shape.adapter_parameters(self.rank, self.modules) + self.saved_modules

    @property
    def trained_tensors(self) -> int:
        """Trained tensors: what the optimizer loops over."""
        return self.shape.layers * (9 if self.full else 2 * len(self.modules))


@dataclass(frozen=True)
class Batches:
    """The micro-batches of training, all of `count` to one optimizer step."""

    count: int
    """Micro-batches of an optimizer step."""
    tokens: float
    """Mean tokens of one, padding included."""
    longest_tokens: int
    """Tokens of the largest one, which sets the peak."""
    pairs: float
    """Mean number of (query, key) pairs that attention computes in one: half the sum of squared lengths."""
    varying: bool = False
    """Whether their sizes differ."""
    apart: int = 1
    """Rows of one that attention takes one by one; 1 where a single kernel takes them all."""
    filled_tokens: float = 0.0
    """Mean tokens of one when it is recorded, what fills it up included; 0 where nothing fills up."""
    drawn: tuple[float, ...] = ()
    """Tokens of each that was drawn, where they were."""
    gpus: int = 1
    """GPUs that share the rows of a step; `count`, `tokens` and `pairs` are those of the one that has the most."""

    @classmethod
    def uniform(cls, rows: int, length: int, count: int = 1) -> Batches:
        """Micro-batches of `rows` rows of exactly `length` tokens."""
        return cls(count, rows * length, rows * length, rows * length**2 / 2)


@dataclass(frozen=True)
class Memory:
    """Predicted memory of a GPU, in GB of 1e9 bytes."""

    weights_gb: float
    trained_gb: float
    """Adapter, gradients, optimizer state."""
    kept_gb: float
    """Activations that wait for the backward pass."""
    passing_gb: float
    """The loss, or one layer's backward pass, whichever is larger."""
    other_gb: float
    """Constant and unpacking buffer."""
    lost_gb: float
    """Lost between the allocator's blocks."""

    @property
    def needed_gb(self) -> float:
        """What must fit: under pressure the allocator gives lost blocks back."""
        return self.weights_gb + self.trained_gb + self.kept_gb + self.passing_gb + self.other_gb

    @property
    def reserved_gb(self) -> float:
        """Peak that the allocator reserves where there is room."""
        return self.needed_gb + self.lost_gb


@dataclass(frozen=True)
class Time:
    """Predicted time of one optimizer step, in seconds."""

    host_s: float
    """Until the host has issued all of its work."""
    gpu_s: float
    """Until the GPU has done it, were it never kept waiting."""
    between_s: float = 0.0
    """Neither works while the other does."""

    @property
    def step_s(self) -> float:
        """They run side by side."""
        return max(self.host_s, self.gpu_s) + self.between_s


@dataclass(frozen=True)
class Calibration:
    """Coefficients and what they come from."""

    coefficients: Coefficients
    rows: list[dict[str, Any]] = field(default_factory=list)
    """Measured rows, as `scripts/bench/calibrate.py` writes them."""


@cache
def load_calibration(file: Path = CALIBRATION) -> Calibration:
    """The coefficients and rows of the repository."""
    content = json.loads(file.read_text(encoding="utf-8"))
    rows = (zip(content["columns"], row, strict=True) for row in content["rows"])
    known = [{name: value for name, value in row if value is not None} for row in rows]
    return Calibration(Coefficients(**content["coefficients"]), known)


def weight_bytes(shape: ModelShape, precision: Precision, turned_copy: bool = False) -> float:
    """Bytes of the base weights in memory; embedding, output layer and norms stay in 16 bits."""
    rest = 2.0 * (shape.parameters - shape.linear_parameters)
    each = {"16bit": 2.0, "8bit": 2.0 if turned_copy else 1.0, "4bit": NF4_BYTES}[precision]
    return rest + shape.linear_parameters * each


def usable_gb(gpu: Device) -> float:
    """Memory that a plan may fill."""
    return (gpu.memory_gb - CONTEXT_GB) * USABLE_SHARE


def estimate_memory(setup: Setup, batches: Batches, gpu: Device, c: Coefficients | None = None) -> Memory:
    """Peak memory of training, by its parts.

    Where the rest would not fit, Unsloth by itself keeps an input embedding that is not tied in main memory. That is
    counted on with checkpointing only, where it was seen.
    """
    c = c or load_calibration().coefficients
    shape, tokens = setup.shape, batches.longest_tokens
    weights = 2.0 * shape.parameters if setup.full else weight_bytes(shape, setup.precision, setup.turned_copy)
    # Adapters are held in fp32 with fp32 gradients; under full fine-tuning both have the weights' 16 bits.
    trained = setup.trained * ((2 if setup.full else 8) + state_bytes(setup.optimizer))
    if batches.gpus > 1 and not setup.recorded:
        # What several GPUs add up lies in one piece, which a recording's gradient does anyway.
        trained += 4 * setup.trained
    largest = max(a * b for a, b in map(shape.widths, LINEAR_LAYERS))
    # One layer's weight unpacked, or the 8-bit weights of two layers, gate and up, turned together.
    unpacked = setup.precision == "4bit" or (setup.precision == "8bit" and not setup.turned_copy)
    other = c.constant_gb * 1e9 + (2 * largest if unpacked else 0)
    layer = tokens * shape.activation_bytes()
    one_input = 2 * tokens * shape.hidden
    backward = c.backward_factor * 2 * shape.intermediate * tokens
    # A recording's output layer sees the trained tokens alone, a small part of most rows.
    chunk = 0 if setup.recorded else loss_chunk(tokens, shape, usable_gb(gpu) * 1e9 - weights - trained)
    loss = chunk * shape.vocabulary * c.loss_bytes
    if setup.checkpointing == "off":
        kept, passing = shape.layers * layer, max(loss, backward)
    elif setup.checkpointing == "on":
        kept, passing = shape.layers * one_input, max(loss, layer + backward)
    else:
        # The inputs wait in main memory; one is on its way back while the last is in use.
        kept, passing = 2 * one_input, max(loss, layer + backward)
    kept += setup.kept_layers * layer
    shares = c.fragmented + (c.fragmented_varying if batches.varying else 0)
    if setup.recorded:
        # All recordings share what the largest took.
        shares = c.fragmented_recorded
    lost = (kept + passing) * shares
    memory = Memory(*(part / 1e9 for part in (weights, trained, kept, passing, other, lost)))
    may_wait = setup.checkpointing != "off" and not setup.full and not shape.tied
    if may_wait and memory.needed_gb > usable_gb(gpu):
        return replace(memory, weights_gb=memory.weights_gb - 2 * shape.vocabulary * shape.hidden / 1e9)
    return memory


def loss_chunk(tokens: int, shape: ModelShape, free_bytes: float) -> int:
    """Tokens whose logits exist at once: Unsloth cuts the loss into a multiple of four chunks that fit its budget."""
    target = min(LOSS_TARGET_BYTES, max(free_bytes / 2, 2**26))
    chunks = tokens * shape.vocabulary * LOSS_BYTES_A_LOGIT / target
    return tokens if chunks <= 1 else math.ceil(tokens / (4 * math.ceil(chunks / 4)))


def estimate_time(setup: Setup, batches: Batches, gpu: Device, c: Coefficients | None = None) -> Time:
    """Time of one optimizer step, on the host and on the GPU."""
    c = c or load_calibration().coefficients
    shape = setup.shape
    recomputed = setup.recomputed
    passes = 2 + recomputed
    # Forward, and the gradient of the input; full fine-tuning computes that of the weights too. Recomputation leaves
    # the output layer out. The adapter's own products: forward and both gradients, 6 operations a parameter.
    products = shape.forward_flops() * (3 if setup.full else 2) + 2 * shape.linear_parameters * recomputed
    if setup.precision == "8bit":
        products -= 2 * shape.linear_parameters * passes * (1 - 1 / c.fp8_speedup)
    products += 0 if setup.full else 6 * setup.trained
    attention = shape.attention_flops() * (3.5 + recomputed)
    tokens = max(batches.tokens, batches.filled_tokens if setup.recorded else 0)
    operations = tokens * products + batches.pairs * attention
    rate = c.efficiency * gpu.tflops * 1e12
    # However few the tokens, every pass reads the weights.
    reading = passes * (1 if setup.precision == "8bit" else 2) * shape.linear_parameters / (gpu.bandwidth_gb_s * 1e9)
    traffic = tokens * shape.layers * shape.activation_bytes() * c.traffic * (1 + recomputed / 3)
    if setup.precision == "4bit":
        traffic += c.unpacking * passes * (NF4_BYTES + 2) * shape.linear_parameters
    elif setup.precision == "8bit" and not setup.turned_copy:
        traffic += c.turning * 2 * shape.linear_parameters
    gpu_s = batches.count * (max(operations / rate, reading) + traffic / (gpu.bandwidth_gb_s * 1e9))
    layer_ms = c.host_layer_ms * (
        1 + c.host_recompute * recomputed + (c.host_quantized if setup.precision == "4bit" else 0)
    )
    # With recomputation the forward half of it is issued twice.
    layer_ms += c.host_row_ms * (batches.apart - 1) * (1 + recomputed / 2)
    tensor_ms = c.host_fused_tensor_ms if "fused" in setup.optimizer else c.host_tensor_ms
    step_ms = c.host_step_ms + tensor_ms * setup.trained_tensors
    exchange_s = 0.0
    if batches.gpus > 1:
        # A ring all-reduce sends nearly twice the gradients; they are in fp32.
        sent = 2 * (batches.gpus - 1) / batches.gpus * 4 * setup.trained
        exchange_s = c.exchange_ms / 1e3 + sent / (gpu.link_gb_s * 1e9)
    if setup.recorded:
        # The update of a fused optimizer is recorded too.
        update_s = 0.0 if "fused" in setup.optimizer else tensor_ms * setup.trained_tensors / 1e3
        waits_ms = c.host_recorded_ms + c.host_pass_ms * (batches.count - 1)
        return Time(0.0, gpu_s, waits_ms / 1e3 + update_s + exchange_s)
    return Time((batches.count * shape.layers * layer_ms + step_ms) / 1e3, gpu_s, exchange_s)
