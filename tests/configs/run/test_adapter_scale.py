"""What can be scaled, which scales a run may come to have, and a scaled adapter's folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from configs.errors import ConfigError, TuneserveError
from configs.handover.base import write_rows
from configs.handover.rows import ProofRow
from configs.handover.scale import ScaleFacts, ScalePoint
from configs.recipe.schema import RunConfig
from configs.run.adapter_scale import check_scale, possible_scales, require_stored, served_adapter
from configs.run.merged import adapter_hash
from configs.run.rundir import RunDir

DORA: dict[str, Any] = {"lora": {"dora": True}}
UNSCALABLE: dict[str, tuple[dict[str, Any], str]] = {
    "dora": (DORA, "a DoRA adapter divides by the length"),
    "whole layers": ({"lora": {"modules_to_save": ["lm_head"]}}, "whole layers .modules_to_save."),
    "biases": ({"lora": {"bias": "all"}}, "trained biases"),
    "full": ({"train": {"method": "full"}}, "full training .train.method: full. has no adapter"),
}


def recipe(scale: Any = 1.0, **sections: Any) -> RunConfig:
    raw = {"name": "x", "model": "m", "data": "rows.jsonl", "merge": {"scale": scale}, **sections}
    return RunConfig.model_validate(raw)


def run_of(folder: Path, scale: Any) -> RunDir:
    run = RunDir.create(recipe(scale, output_dir=str(folder)))
    run.adapter.mkdir()
    (run.adapter / "adapter_model.safetensors").write_bytes(b"weights")
    config = {"r": 8, "lora_alpha": 16, "alpha_pattern": {"q_proj": 8}, "target_modules": ["q_proj"]}
    (run.adapter / "adapter_config.json").write_text(json.dumps(config))
    return run


@pytest.mark.parametrize("kind", UNSCALABLE)
@pytest.mark.parametrize("scale", [0.7, "auto"])
def test_what_is_not_added_to_the_base_is_refused_with_the_reason(kind: str, scale: Any) -> None:
    sections, why = UNSCALABLE[kind]
    with pytest.raises(ConfigError, match=f"merge.scale is {scale}: {why}") as error:
        check_scale(recipe(scale, **sections))
    assert "leave merge.scale at 1.0" in error.value.next_step
    check_scale(recipe(1.0, **sections))
    assert possible_scales(recipe(1.0, **sections)) == [1.0]


@pytest.mark.parametrize(
    ("lora", "why"),
    [({"target_modules": ["q_proj", "in_proj"]}, "vLLM adds none to in_proj"), ({"r": 513}, "513 is above 512, vLLM")],
)
def test_auto_is_refused_where_vllm_could_not_serve_the_adapter_beside_the_base(lora: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        check_scale(recipe("auto", lora=lora))
    check_scale(recipe(0.7, lora=lora))


@pytest.mark.parametrize("scale", [0, -0.5, 2.1, "all"])
def test_no_scale_is_refused_by_the_schema(scale: Any) -> None:
    with pytest.raises(ValueError, match=r"merge\.scale"):
        recipe(scale)


def test_training_stores_the_scales_of_auto_and_the_recipes_own() -> None:
    assert possible_scales(recipe()) == [0.3, 0.5, 0.7, 0.85, 1.0]
    assert possible_scales(recipe("auto")) == [0.3, 0.5, 0.7, 0.85, 1.0]
    assert possible_scales(recipe(0.6)) == [0.3, 0.5, 0.6, 0.7, 0.85, 1.0]


def test_a_whole_adapter_is_served_from_its_own_folder(tmp_path: Path) -> None:
    run = run_of(tmp_path, 1.0)
    assert served_adapter(run) == run.adapter
    assert not run.scaled_adapter.exists()


def test_whole_weights_are_no_adapter_and_are_served_by_themselves(tmp_path: Path) -> None:
    run = run_of(tmp_path, 1.0)
    (run.adapter / "adapter_config.json").unlink()
    with pytest.raises(ConfigError, match="has no adapter yet"):
        served_adapter(run)
    run.configure(recipe(train={"method": "full"}, output_dir=str(tmp_path)))
    with pytest.raises(ConfigError, match="has no adapter, but whole weights") as error:
        served_adapter(run)
    assert error.value.next_step == f"tuneserve serve {run.path}"


@pytest.mark.parametrize("links", [True, False])
def test_a_scaled_adapter_has_scaled_alphas_and_the_same_weights_wherever_the_run_lies(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:  # as of a disk that has none
        monkeypatch.setattr(os, "symlink", refuse)
    run = run_of(tmp_path, 0.5)
    folder = served_adapter(run)
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["lora_alpha"], config["alpha_pattern"], config["r"]) == (8, {"q_proj": 4}, 8)
    assert served_adapter(run) == folder
    moved = tmp_path / "moved"
    run.path.rename(moved)
    assert (moved / folder.name / "adapter_model.safetensors").read_bytes() == b"weights"
    # Asked again with another scale, it is made anew from the trained one.
    other = RunDir.open(moved)
    other.configure(recipe(0.25, output_dir=str(tmp_path)))
    assert json.loads((served_adapter(other) / "adapter_config.json").read_text())["lora_alpha"] == 4


def test_auto_counts_as_it_chose_and_says_so_before(tmp_path: Path) -> None:
    run = run_of(tmp_path, "auto")
    with pytest.raises(ConfigError, match="how much the adapter counts is not chosen yet") as error:
        run.scale()
    assert error.value.next_step.startswith(f"`tuneserve merge {run.path}`")
    point = ScalePoint(scale=0.7, gain=1, gain_share=1, accuracy=1, accuracy_share=1, drift=0, short_share=0, beyond=[])
    facts = ScaleFacts(
        scale=0.7, points=[point], least_kept=0.95, most_drift=0.1, most_short_share=0.1, heldout_rows=1,
        general_rows=1, length_rows=1, base_accuracy=0, base_short_share=0,
    )  # fmt: skip
    with run.stage("scale", {"adapter": adapter_hash(run)}) as record:
        record.figures = facts.model_dump(mode="json")
        with pytest.raises(ConfigError, match="not chosen yet"):
            run.scale()  # a stage that was killed has chosen nothing
    assert run.scale() == 0.7
    assert run.read().scaled() == facts
    assert facts.satisfied
    assert served_adapter(run) == run.scaled_adapter
    (run.adapter / "adapter_model.safetensors").write_bytes(b"trained again")
    with pytest.raises(ConfigError, match=r"was trained again since merge\.scale: auto chose"):
        served_adapter(run)


def test_a_scale_that_was_not_stored_is_refused_before_anything_is_merged(tmp_path: Path) -> None:
    run = run_of(tmp_path, 0.6)
    run.data.mkdir()
    row = ProofRow(
        id="a", input_ids=[1, 2], answer_start=1, base_logprob=-2, adapter_logprob=-1, scaled_logprobs={0.5: -1.5}
    )
    write_rows(run.data / "proof.jsonl", [row])
    with pytest.raises(TuneserveError, match=r"merge.scale is 0.6, .* for 0.5, 1 only"):
        require_stored(run, run.scale())
    require_stored(run, 0.5)
