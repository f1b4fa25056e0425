"""The stage `foreign` on adapters that were really trained, in the form of other trainers' templates."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.errors import ConfigError, TuneserveError
from configs.handover.base import read_rows
from configs.handover.foreign import ForeignFacts
from configs.handover.rows import ParityRow, ProofRow
from configs.recipe.schema import DataConfig, SourceConfig
from configs.run.rundir import RunDir
from tests.trainer.conftest import DEMO_MODEL
from trainer.data.template import reasoning_of
from trainer.export.merge import merge_adapter
from trainer.export.new_folder import Export
from trainer.foreign.folder import Given, other_base
from trainer.foreign.stage import Look, foreign_stage, inputs_of

Judged = Callable[..., RunDir]
EOS = {"eos_token": "<|endoftext|>"}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESERVE_CACHE", str(tmp_path / "cache"))


def look(run: RunDir) -> tuple[ForeignFacts, dict[str, dict]]:
    found = foreign_stage(run, run.config())
    assert found is not None
    return found, {finding.key: finding.values for finding in found.findings if finding.fault}


def test_an_adapter_that_is_served_as_it_was_trained_has_no_fault(foreign, judged: Judged) -> None:
    run = judged(foreign("base"))
    found, faults = look(run)
    assert faults == {}
    assert (found.kind, found.rendering, found.thinking) == ("adapter", "base", False)
    assert found.renderings[0].names[0] == "base"
    assert found.renderings[-1].nats < found.renderings[0].nats - 1
    assert found.end_probability is not None
    assert found.end_probability > 0.9
    proof = read_rows(run.data / "proof.jsonl", ProofRow, "foreign")
    assert sum(row.adapter_logprob - row.base_logprob for row in proof) > 0
    assert foreign_stage(run, run.config()) is None  # nothing changed since
    run.update(prepared=run.prepared().model_copy(update={"base_model": run.path / "moved"}))
    assert look(run)[1] == {}
    assert run.prepared().base_model.is_dir()
    shutil.rmtree(run.adapter)
    assert look(run)[1] == {}
    assert (run.adapter / "adapter_model.safetensors").is_symlink()


def test_the_thinking_mode_is_that_of_the_rows(judged: Judged, tmp_path: Path) -> None:
    rows = [{"question": f"{i}+1?", "reasoning_content": "one more", "answer": f"{i + 1}."} for i in range(9)]
    source = tmp_path / "thoughts.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    run = judged(DEMO_MODEL)
    data = DataConfig(sources=[SourceConfig(path=str(source))])
    look = Look(run, run.config().model_copy(update={"data": data}), DEMO_MODEL, Given(DEMO_MODEL, DEMO_MODEL, None))
    assert look.thinking
    assert all(reasoning_of(row.messages[-1]) == "one more" for row in look.rows)


def test_a_template_file_that_changed_is_looked_at_again(judged: Judged, tmp_path: Path) -> None:
    template = tmp_path / "t.jinja"
    template.write_text("one", encoding="utf-8")
    config = judged(DEMO_MODEL, template=str(template)).config()
    what = Given(DEMO_MODEL, DEMO_MODEL, None)
    before = inputs_of(config, DEMO_MODEL, what)
    assert inputs_of(config, DEMO_MODEL, what) == before
    template.write_text("two", encoding="utf-8")
    assert inputs_of(config, DEMO_MODEL, what) != before
    os.truncate(template, 1 << 40)
    with pytest.raises(OSError, match="far more than such a file holds"):
        inputs_of(config, DEMO_MODEL, what)


def test_a_drifted_template_is_named_with_what_to_serve_instead(foreign, judged: Judged) -> None:
    run = judged(foreign("alpaca"))
    found, faults = look(run)
    assert list(faults) == ["finding.template_drift"]
    drift = faults["finding.template_drift"]
    assert "alpaca (LLaMA-Factory alpaca" in drift["likeliest"]
    assert drift["served"] == "base"
    assert "### Instruction" in drift["trained_text"] or "Below is" in drift["trained_text"]
    # The template that would serve it right stands where the fault says, and is what parity holds the server to.
    assert "### Instruction" in Path(drift["file"]).read_text(encoding="utf-8")
    prompt = read_rows(run.data / "parity.jsonl", ParityRow, "foreign")[0]
    assert found.rendering.startswith("alpaca")
    assert found.longest_answer > 1
    assert len(prompt.prompt_ids) > 10


def test_an_end_of_turn_that_was_never_trained_is_found_behind_the_answers(foreign, judged: Judged) -> None:
    _, faults = look(judged(foreign("base", end_trained=False)))
    assert "finding.end_untrained" in faults
    assert faults["finding.end_untrained"]["token"] == "<|im_end|>"
    assert faults["finding.end_untrained"]["percent"] < 50


def refused(judged: Judged, adapter: Path, changed: dict, said: str, folder: Path) -> RunDir:
    """The run of an adapter with other keys in its configuration, which the stage refuses with these words."""
    broken = shutil.copytree(adapter, folder / "broken")
    config = json.loads((broken / "adapter_config.json").read_text(encoding="utf-8"))
    (broken / "adapter_config.json").write_text(json.dumps(config | changed), encoding="utf-8")
    run = judged(broken)
    with pytest.raises(TuneserveError, match=said):
        foreign_stage(run, run.config())
    return run


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"lora_alpha": 1e308}, "computes NaN for .*\n.*train it again"),
        ({"bias": "x"}, "PEFT cannot lay this adapter over .*\n.*--base"),
    ],
)
def test_an_adapter_that_computes_nothing_is_refused_and_leaves_the_run_readable(
    changed: dict, said: str, foreign, judged: Judged, tmp_path: Path
) -> None:
    run = refused(judged, foreign("base"), changed, said, tmp_path)
    assert run.read().stages["foreign"].state == "failed"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"lora_alpha": float("nan")}, "Input should be a finite number"),
        ({"target_modules": "(a+)+$"}, "does not target layer .*\n.*same training run"),
    ],
)
def test_an_adapter_that_its_configuration_does_not_speak_of_is_not_looked_at(
    changed: dict, said: str, foreign, judged: Judged, tmp_path: Path
) -> None:
    run = refused(judged, foreign("base"), changed, said, tmp_path)
    assert "foreign" not in run.read().stages


def test_merged_weights_are_proved_against_the_adapter_that_they_were_made_with(foreign, judged, tmp_path) -> None:
    adapter = foreign("base")
    merged = tmp_path / "merged"
    merge_adapter(adapter, Export(DEMO_MODEL, merged))
    generation = json.loads((merged / "generation_config.json").read_text(encoding="utf-8"))
    settings = json.loads((merged / "tokenizer_config.json").read_text(encoding="utf-8"))
    (merged / "generation_config.json").write_text(json.dumps(generation | {"eos_token_id": 3558}), encoding="utf-8")
    (merged / "tokenizer_config.json").write_text(
        json.dumps(settings | {"eos_token": "<|endoftext|>"}), encoding="utf-8"
    )
    run = judged(merged, adapter=str(adapter))
    found, faults = look(run)
    assert found.kind == "merged with adapter"
    assert list(faults) == ["finding.does_not_stop"]
    assert faults["finding.does_not_stop"]["stops"] == "3558"
    assert {f"{run.merged.name}/model.safetensors", f"{run.adapter.name}/adapter_model.safetensors"} <= {
        path for path in run.read().stages["foreign"].outputs if (run.path / path).is_symlink()
    }


def test_quantized_weights_are_refused_with_what_to_judge_instead(judged: Judged, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DEMO_MODEL, tmp_path / "quantized"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    quantized = config | {"quantization_config": {"quant_method": "bitsandbytes"}}
    (folder / "config.json").write_text(json.dumps(quantized), encoding="utf-8")
    run = judged(folder)
    with pytest.raises(ConfigError, match=r"weights are quantized \(bitsandbytes\).*\n.*judge the 16-bit weights"):
        foreign_stage(run, run.config())


@pytest.mark.parametrize(
    ("named", "base", "other"),
    [
        ("Qwen/Qwen3-8B", "/models/qwen3-8b", False),
        ("unsloth/Qwen3-8B-unsloth-bnb-4bit", "Qwen/Qwen3-8B", False),
        ("Qwen/Qwen3-8B", "/hub/models--Qwen--Qwen3-8B/snapshots/0a1b", False),
        ("Qwen/Qwen3-8B-Base", "Qwen/Qwen3-8B", True),
        (None, "Qwen/Qwen3-8B", False),
    ],
)
def test_a_base_that_the_adapter_does_not_name_is_told(
    named: str | None, base: str, other: bool, tmp_path: Path
) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": named}))
    assert other_base(tmp_path, base) == (named if other else None)
