"""A tiny model of each family goes the whole way: data, train, merge, serve, parity, proof."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.model.adapter_weights import refuse_unservable
from configs.model.files import safetensors_shapes, weight_files
from configs.run.rundir import RunDir
from serve.launch.command import build_command, installed_device
from serve.launch.target import Target, adapter_target, merged_target
from serve.process.server import VllmServer
from serve.proof.verify import verify_weights
from tests.serve.fakes import free_port
from tests.trainer.conftest import make_run, run_stage, shop_rows, write_jsonl
from tests.trainer.families import FAMILIES, make_family

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
SEES, MIXTURE = "Qwen3_5ForConditionalGeneration", "Qwen3MoeForCausalLM"


@pytest.fixture(scope="module")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], RunDir]:
    """The run of an architecture, taken through data, train and merge once."""
    made: dict[str, RunDir] = {}

    def get(architecture: str) -> RunDir:
        if architecture not in made:
            folder = tmp_path_factory.mktemp(architecture)
            rows = write_jsonl(folder / "rows.jsonl", shop_rows(50))
            run = make_run(
                folder, "tiny", model=str(make_family(folder / "model", architecture)),
                data={"sources": str(rows), "eval_split": 0.2}, lora={"r": 8},
                train={"epochs": 6, "learning_rate": 2e-2}, serve={"port": free_port()},
            )  # fmt: skip
            for stage in ("data", "train", "merge"):
                run_stage(stage, run, folder=folder)
            made[architecture] = run
        return made[architecture]

    return get


@pytest.mark.parametrize("architecture", FAMILIES)
def test_merged_is_base_and_adapter_and_nothing_else_changed(
    architecture: str, run_of: Callable[[str], RunDir]
) -> None:
    """By transformers' own forward pass; what was not adapted is the base's, byte for byte."""
    import torch
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    run = run_of(architecture)
    base = run.prepared().base_model
    tuned = AutoModelForCausalLM.from_pretrained(run.merged, dtype=torch.float32)
    ids = torch.tensor([[5, 17, 42, 99, 3, 61, 88, 250]])
    with torch.no_grad():
        merged = tuned(input_ids=ids).logits
        plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        before = plain(input_ids=ids).logits
        adapter = _names_of_text_part(run.adapter, base) if architecture == SEES else run.adapter
        beside = PeftModel.from_pretrained(plain, adapter)(input_ids=ids).logits
    # bf16 rounds what is merged.
    assert (merged - beside).abs().mean() < 0.05 * (before - beside).abs().mean()

    stored = {name: t for file in weight_files(base) for name, t in load_file(file).items()}
    written = {name: t for file in weight_files(run.merged) for name, t in load_file(file).items()}
    assert written.keys() == stored.keys()
    changed = {
        name for name in stored if not torch.equal(stored[name].view(torch.uint8), written[name].view(torch.uint8))
    }
    layers = {name.rpartition(".lora_")[0] for name in safetensors_shapes(run.adapter / "adapter_model.safetensors")}
    assert changed == {layer.removeprefix("base_model.model.") + ".weight" for layer in layers}
    assert not any("visual" in name or "experts" in name for name in changed)


def _names_of_text_part(adapter: Path, base: Path) -> Path:
    """The adapter as PEFT wants it for the text part alone."""
    import shutil

    from safetensors.torch import load_file, save_file

    folder = adapter.with_name("adapter-of-text")
    shutil.copytree(adapter, folder, dirs_exist_ok=True)
    file = folder / "adapter_model.safetensors"
    named = {name.replace("model.language_model.", "model."): tensor for name, tensor in load_file(file).items()}
    assert named.keys() != load_file(file).keys()
    save_file(named, file)
    return folder


@contextmanager
def served(target: Target, run: RunDir, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[VllmServer]:
    if installed_device() != "cpu":
        pytest.skip("starts the CPU build of vLLM")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.environ["PYTHONPATH"], str(ROOT), str(_torchvision(folder))]))
    command = build_command(target, run.config().serve, available_ram=4 << 30)
    with VllmServer(command, run.logs / "serve.log", 300) as server:
        yield server


def _torchvision(folder: Path) -> Path:
    """Stands for torchvision, whose build for a CPU is not on PyPI: it is imported, and no text goes through it."""
    anything = (
        "def __getattr__(name):\n"
        "    if name.startswith('__'): raise AttributeError(name)\n"
        "    return type(name, (), {})\n"
    )
    modes = "NEAREST NEAREST_EXACT BILINEAR BICUBIC BOX HAMMING LANCZOS"
    enum = f"from enum import Enum\nInterpolationMode = Enum('InterpolationMode', '{modes}')\n"
    for file, text in {
        "torchvision-0.28.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.28.0\n",
        "torchvision/__init__.py": "__version__ = '0.28.0'\n",
        "torchvision/io.py": anything,
        "torchvision/transforms/__init__.py": enum,
        "torchvision/transforms/functional.py": anything,
        "torchvision/transforms/v2/__init__.py": "from . import functional\n" + anything,
        "torchvision/transforms/v2/functional.py": anything,
    }.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text, encoding="utf-8")
    return folder


def require_proved(server: VllmServer, run: RunDir) -> None:
    checks = verify_weights(run, run.config(), server.client, server.command.target.name)
    assert checks.parity.passed, checks.parity.sentence()
    assert checks.proof
    assert checks.proof.passed, checks.proof.sentence()


@pytest.mark.parametrize("architecture", FAMILIES)
def test_what_is_served_is_what_was_trained(
    architecture: str, run_of: Callable[[str], RunDir], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if architecture != MIXTURE and not os.environ.get("TUNESERVE_EVERY_FAMILY"):
        pytest.skip("a server more, half a minute: TUNESERVE_EVERY_FAMILY=1 starts it")
    run = run_of(architecture)
    with served(merged_target(run, run.config()), run, monkeypatch, tmp_path) as server:
        require_proved(server, run)


def test_the_adapter_counts_beside_a_base_that_sees(
    run_of: Callable[[str], RunDir], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """vLLM finds the layers of the text part, linear attention's among them."""
    run = run_of(SEES)
    with served(adapter_target(run, run.config()), run, monkeypatch, tmp_path) as server:
        require_proved(server, run)


def test_an_adapter_with_the_names_of_the_text_part_is_refused_beside_the_whole(
    run_of: Callable[[str], RunDir],
) -> None:
    """vLLM would load it without a word, and answer as the base does."""
    run = run_of(SEES)
    base = run.prepared().base_model
    refuse_unservable(run.adapter, base)
    with pytest.raises(ConfigError, match=r"would change nothing: .* has layers such as model.language_model.layers"):
        refuse_unservable(_names_of_text_part(run.adapter, base), base)


def test_a_cpu_serves_no_adapter_beside_a_mixture(run_of: Callable[[str], RunDir]) -> None:
    run = run_of(MIXTURE)
    with pytest.raises(ConfigError, match=r"a mixture of experts, beside which vLLM's CPU build serves no adapter"):
        build_command(adapter_target(run, run.config()), run.config().serve, device="cpu")
