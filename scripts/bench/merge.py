"""Time and memory of a merge: ours against PEFT's `merge_and_unload`, each in a process of its own.

    python -m scripts.bench.merge --size 0.6b [--device cpu|cuda] [--folder DIR] [--rank 16] [--base DIR]

Builds a Qwen3 of the size with random bf16 weights (sharded at 5 GB), or takes the folder that `--base` names, and a
rank-16 adapter on all seven linear layers, merges it both ways in turn, compares every tensor, and prints a table of
the fastest runs. Seconds run from the start of the work in the process, imports left out, to the last file synced to
the disk; processor seconds add up all threads. Peak memory is sampled 50 times a second from the kernel: private
memory, and resident memory with the pages of mapped files, which the kernel may drop at any time. The disk needs three
times the model's size, twice with `--base`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from safetensors import safe_open
from safetensors.torch import save_file

from scripts.bench.child import must_run

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# hidden size, intermediate size, layers, attention heads, tied embeddings; from the models' config.json.
SIZES = {
    "0.6b": (1024, 3072, 28, 16, True),
    "4b": (2560, 9728, 36, 32, True),
    "8b": (4096, 12288, 36, 32, False),
    "14b": (5120, 17408, 40, 40, False),
}
VOCABULARY, KV_HEADS, HEAD_DIM = 151936, 8, 128


def make_base(folder: Path, size: str) -> None:
    """Writes a Qwen3 with random weights, one shard in memory at a time."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    hidden, intermediate, layers, heads, tied = SIZES[size]
    config = Qwen3Config(
        vocab_size=VOCABULARY, hidden_size=hidden, intermediate_size=intermediate, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=KV_HEADS, head_dim=HEAD_DIM, tie_word_embeddings=tied,
        max_position_embeddings=40960, dtype="bfloat16",
    )  # fmt: skip
    folder.mkdir(parents=True)
    config.architectures = ["Qwen3ForCausalLM"]
    config.save_pretrained(folder)
    with torch.device("meta"):
        shapes = {n: tuple(p.shape) for n, p in Qwen3ForCausalLM(config).named_parameters()}
    shards: list[dict[str, torch.Tensor]] = [{}]
    names: dict[str, str] = {}
    total = sum(2 * torch.Size(shape).numel() for shape in shapes.values())
    count, held = -(-total // 5_000_000_000), 0
    torch.manual_seed(0)

    def flush() -> None:
        file = f"model-{len(shards):05d}-of-{count:05d}.safetensors"
        save_file(shards[-1], folder / file, {"format": "pt"})
        names.update(dict.fromkeys(shards[-1], file))
        shards[-1] = {}

    for name, shape in shapes.items():
        tensor = torch.ones(shape) if name.endswith("norm.weight") else torch.randn(shape, dtype=torch.bfloat16) * 0.02
        shards[-1][name] = tensor.to(torch.bfloat16)
        held += tensor.numel() * 2
        if held > total / count and len(shards) < count:
            flush()
            shards.append({})
            held = 0
    flush()
    index = {"metadata": {"total_size": total}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def make_adapter(folder: Path, base: Path, rank: int) -> None:
    """Writes a random LoRA adapter for all seven linear layers of the base."""
    from peft import LoraConfig

    names = json.loads((base / "model.safetensors.index.json").read_text())["weight_map"]
    torch.manual_seed(1)
    tensors = {}
    for name, file in names.items():
        module = name.removesuffix(".weight")
        if module.rpartition(".")[2] in LINEAR:
            with safe_open(base / file, "pt") as shard:
                rows, columns = shard.get_slice(name).get_shape()
            tensors[f"base_model.model.{module}.lora_A.weight"] = torch.randn(rank, columns) * 0.02
            tensors[f"base_model.model.{module}.lora_B.weight"] = torch.randn(rows, rank) * 0.02
    folder.mkdir(parents=True)
    LoraConfig(r=rank, lora_alpha=rank, target_modules=LINEAR, task_type="CAUSAL_LM").save_pretrained(folder)
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})


def merge_ours(base: Path, adapter: Path, out: Path, device: str) -> None:
    """Our merge."""
    from trainer.export.merge import merge_adapter
    from trainer.export.new_folder import Export

    merge_adapter(adapter, Export(base, out), device)


def merge_with_peft(base: Path, adapter: Path, out: Path, device: str) -> None:
    """PEFT's merge of the whole model, saved by transformers."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16, device_map=device)
    PeftModel.from_pretrained(model, str(adapter)).merge_and_unload().save_pretrained(out, max_shard_size="5GB")


WAYS: dict[str, Callable[[Path, Path, Path, str], None]] = {"tuneserve": merge_ours, "peft": merge_with_peft}


def measured(way: str, base: Path, adapter: Path, out: Path, device: str) -> dict[str, float]:
    """Runs one way in this process. Returns seconds, and peaks in GB of 1e9 bytes."""
    import peft  # noqa: F401 - imported before the clock starts, as both ways need it
    import transformers  # noqa: F401

    import trainer.export.merge  # noqa: F401

    peaks, stop = {"RssAnon": 0.0, "VmRSS": 0.0}, threading.Event()

    def sample() -> None:
        while not stop.wait(0.02):
            for line in Path("/proc/self/status").read_text().splitlines():
                key, _, value = line.partition(":")
                if key in peaks:
                    peaks[key] = max(peaks[key], int(value.split()[0]) * 1024 / 1e9)

    watcher = threading.Thread(target=sample)
    watcher.start()
    started, processor = time.monotonic(), time.process_time()
    try:
        WAYS[way](base, adapter, out, device)
        for file in out.iterdir():
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        seconds, processor_s = time.monotonic() - started, time.process_time() - processor
    finally:
        stop.set()
        watcher.join()
    gpu = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else 0.0
    return {
        "seconds": seconds,
        "processor_s": processor_s,
        "private_gb": peaks["RssAnon"],
        "resident_gb": peaks["VmRSS"],
        "gpu_gb": gpu,
    }


def differences(one: Path, other: Path) -> tuple[int, float]:
    """Compares the same bf16 tensors of two model folders.

    Returns:
        The largest difference in steps between neighbouring bf16 numbers, and the share of elements that differ.
    """

    def where(folder: Path) -> dict[str, Path]:
        found = {}
        for file in folder.glob("*.safetensors"):
            with safe_open(file, "pt") as shard:
                found.update(dict.fromkeys(shard.keys(), file))
        return found

    def ordered(bf16: torch.Tensor) -> torch.Tensor:
        """Integers that count bf16 numbers upwards; both zeros are 0."""
        bits = bf16.view(torch.int16).int()
        return torch.where(bits < 0, -(bits & 0x7FFF), bits)

    ones, others = where(one), where(other)
    if ones.keys() != others.keys():
        raise SystemExit(f"the two results hold different tensors: {sorted(ones.keys() ^ others.keys())[:3]}")
    worst, differing, total = 0, 0, 0
    for name, file in ones.items():
        with safe_open(file, "pt") as a, safe_open(others[name], "pt") as b:
            steps = (ordered(a.get_tensor(name)) - ordered(b.get_tensor(name))).abs()
        worst, differing = max(worst, int(steps.max())), differing + int((steps > 0).sum())
        total += steps.numel()
    return worst, differing / total


def faster(one: dict[str, float], other: dict[str, float] | None) -> dict[str, float]:
    """The run that fewer other processes disturbed."""
    return one if other is None or one["seconds"] < other["seconds"] else other


def main() -> None:
    """Makes the models, runs both ways, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="0.6b")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--base", type=Path, help="a Qwen3 of that size in several shards, instead of a made one")
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder); removed at the end")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each way, in turn; the fastest counts")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    if options.way:
        folder = options.folder
        figures = measured(options.way, folder / "base", folder / "adapter", folder / options.way, options.device)
        (folder / "figures.json").write_text(json.dumps(figures), encoding="utf-8")
        return

    folder = Path(tempfile.mkdtemp(prefix="bench-merge-", dir=options.folder))
    try:
        if options.base:
            (folder / "base").symlink_to(options.base.resolve())
        else:
            make_base(folder / "base", options.size)
        make_adapter(folder / "adapter", folder / "base", options.rank)
        fastest: dict[str, dict[str, float]] = {}
        for way in list(WAYS) * options.repeat:
            shutil.rmtree(folder / way, ignore_errors=True)
            passed = ["--way", way, "--size", options.size, "--folder", str(folder), "--device", options.device]
            os.sync()  # so that nobody waits for what was written before
            ran = must_run("scripts.bench.merge", passed, folder / "figures.json")
            fastest[way] = faster(ran, fastest.get(way))
        steps, share = differences(folder / "tuneserve", folder / "peft")
    finally:
        shutil.rmtree(folder)
    table = Table(title=f"Qwen3 {options.size}, rank {options.rank}, {options.device}")
    for column in ("", "seconds", "processor seconds", "peak private GB", "peak resident GB", "peak GPU GB"):
        table.add_column(column, justify="right")
    for way, row in fastest.items():
        table.add_row(
            way, *(f"{row[key]:.2f}" for key in ("seconds", "processor_s", "private_gb", "resident_gb", "gpu_gb"))
        )
    Console().print(table)
    print(f"the two results differ in {share:.4%} of the weights, by at most {steps} step(s) of bf16")
    if options.json:
        options.json.write_text(
            json.dumps({"size": options.size, "device": options.device, **fastest}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
