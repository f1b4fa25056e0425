"""Going on from an earlier run: its merged weights are the base, and what cannot be gone on from says why."""

import json
import shutil
from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.handover.facts import Facts
from configs.handover.training import TrainedFacts
from configs.model.fingerprint import weights_digest
from configs.recipe.load import load_config
from configs.recipe.schema import MergeConfig, RunConfig
from configs.run.manifest import Manifest
from configs.run.merged import adapter_hash, has_other_answers, require_base, require_trained, trained_recipe
from configs.run.predecessor import predecessor, trained_base
from configs.run.rundir import RunDir
from tests.trainer.conftest import DEMO_MODEL


def recipe(folder: Path, name: str, **train: object) -> RunConfig:
    raw = {"name": name, "model": str(DEMO_MODEL), "output_dir": str(folder), "data": {"sources": "rows"}}
    return RunConfig.model_validate(raw | {"train": train})


@pytest.fixture
def first(tmp_path: Path) -> RunDir:
    """A run with something merged."""
    run = RunDir.create(recipe(tmp_path, "first"))
    with run.stage("merge", {}, [run.merged]):
        run.merged.mkdir()
        (run.merged / "config.json").write_text(json.dumps({"model_type": "qwen3"}), encoding="utf-8")
    return run


def test_the_merged_weights_take_the_place_of_the_model(first: RunDir, tmp_path: Path) -> None:
    second = recipe(tmp_path, "second", continue_from=str(first.path))
    found = predecessor(second)
    assert found is not None
    assert found.path == first.path.resolve()
    assert trained_base(second) == first.merged.resolve()
    assert predecessor(recipe(tmp_path, "second")) is None
    assert trained_base(recipe(tmp_path, "second")) == DEMO_MODEL.resolve()


def test_it_is_looked_up_beside_the_recipe(first: RunDir, tmp_path: Path) -> None:
    file = tmp_path / "second.yaml"
    file.write_text(f"name: second\nmodel: {DEMO_MODEL}\ndata: rows.jsonl\ntrain: {{continue_from: first}}\n")
    assert load_config(file).train.continue_from == str(first.path)


def test_what_cannot_be_gone_on_from_says_why(first: RunDir, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is this run itself\n.*another `name`"):
        predecessor(recipe(tmp_path, "first", continue_from=str(first.path)))
    other = recipe(tmp_path, "second", continue_from=str(first.path)).model_copy(update={"model": "Qwen/Qwen3-8B"})
    with pytest.raises(ConfigError, match=r"was trained on .*, `model` is Qwen/Qwen3-8B\n.*set model="):
        predecessor(other)
    with pytest.raises(ConfigError, match=r"no run lies there\n.*train\.continue_from=FOLDER"):
        predecessor(recipe(tmp_path, "second", continue_from=str(tmp_path / "moved")))
    with pytest.raises(ConfigError, match=r"is not there.*\n.*tuneserve train .*config\.yaml model=FOLDER"):
        require_base(first, tmp_path / "moved")
    with first.stage("foreign", {"base.weights": "as it was"}):
        pass
    with pytest.raises(ConfigError, match=r"are not those that .*\n.*tuneserve judge"):
        require_base(first, DEMO_MODEL)
    (first.merged / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"no merged weights in it\n.*tuneserve merge"):
        predecessor(recipe(tmp_path, "second", continue_from=str(first.path)))


def test_weights_that_are_not_what_the_adapter_gives_are_not_gone_on_from(first: RunDir, tmp_path: Path) -> None:
    second = recipe(tmp_path, "second", continue_from=str(first.path))
    first.adapter.mkdir()
    (first.adapter / "adapter_config.json").write_text("{}", encoding="utf-8")
    with first.stage("merge", {"adapter": adapter_hash(first), "merge.scale": 1.0}, [first.merged]):
        pass
    assert predecessor(second) is not None

    (first.adapter / "adapter_config.json").write_text('{"r": 8}', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"was trained again since its weights were merged\n.*tuneserve merge"):
        predecessor(second)
    shutil.rmtree(first.adapter)  # it may be removed, and what was merged stays
    assert predecessor(second) is not None

    with pytest.raises(KeyboardInterrupt), first.stage("merge", {}, [first.merged]):
        raise KeyboardInterrupt
    with pytest.raises(ConfigError, match="its merge did not finish"):
        predecessor(second)


def test_what_was_begun_anew_and_not_finished_is_not_gone_on_from(first: RunDir, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), first.stage("train", {}):
        raise KeyboardInterrupt
    with pytest.raises(ConfigError, match=r"its training did not finish.*\n.*tuneserve train .*config\.yaml"):
        predecessor(recipe(tmp_path, "second", continue_from=str(first.path)))


def test_an_adapter_that_is_damaged_is_not_taken_for_a_changed_one(first: RunDir) -> None:
    with first.stage("train", {}, [first.adapter]):
        first.adapter.mkdir()
        (first.adapter / "adapter_config.json").write_text('{"r": 8}', encoding="utf-8")
        (first.adapter / "weights").touch()
    require_trained(first)
    (first.adapter / "weights").unlink()
    with pytest.raises(ConfigError, match=r"adapter/weights is gone\n.*train again"):
        require_trained(first)
    (first.adapter / "weights").touch()
    (first.adapter / "adapter_config.json").write_text('{"r": 9}', encoding="utf-8")
    require_trained(first, contents=False)
    with pytest.raises(ConfigError, match=r"its content changed\n.*train again.*--save-as FOLDER"):
        require_trained(first)
    shutil.rmtree(first.adapter)
    require_trained(first)


@pytest.mark.parametrize(("stage", "key"), [("train", "base_model"), ("foreign", "base.weights")])
def test_answers_of_another_base_are_none_of_the_run(first: RunDir, stage: str, key: str) -> None:
    for name, inputs in ((stage, {key: "a"}), ("merge", {}), ("tuned", {"merged_weights": "m"})):
        with first.stage(name, inputs):
            pass
    shutil.rmtree(first.merged)
    for asked, other in ("a", False), ("b", True):
        with first.stage("base", {"base_weights": asked}):
            pass
        assert has_other_answers(first, first.read()) == other


def test_another_scale_needs_another_merge(first: RunDir, tmp_path: Path) -> None:
    with first.stage("merge", {"merge.scale": 0.5}, [first.merged]):
        pass
    with first.stage("tuned", {"merged_weights": weights_digest(first.merged, [])}):
        pass
    config = first.config()
    for scale, other in (1.0, True), ("auto", True), (0.5, False):
        first.configure(config.model_copy(update={"merge": MergeConfig(scale=scale)}))
        assert has_other_answers(first, first.read()) == other
        if other:
            with pytest.raises(ConfigError, match=rf"merged with another merge\.scale than {scale}"):
                predecessor(recipe(tmp_path, "second", continue_from=str(first.path)))


def test_a_flipped_bit_is_not_trained_on(first: RunDir, tmp_path: Path) -> None:
    file = first.merged / "config.json"
    file.write_text(file.read_text(encoding="utf-8").replace("qwen3", "qwen2"), encoding="utf-8")
    with pytest.raises(ConfigError, match="its content changed"):
        trained_base(recipe(tmp_path, "second", continue_from=str(first.path)))


def test_a_run_that_another_recipe_claimed_and_did_not_finish_is_not_what_that_one_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDir.create(recipe(tmp_path, "first", epochs=2))
    run.update(hashes={"data": "0123"})
    with run.stage("train", {}):
        before = {**trained_recipe(run.read()), "train.gone": 1}
    read = RunDir.read

    def read_trained(self: RunDir) -> Manifest:
        manifest = read(self)
        manifest.facts = Facts.model_construct(trained=TrainedFacts.model_construct(recipe=before))
        return manifest

    monkeypatch.setattr(RunDir, "read", read_trained)
    require_trained(run)
    monkeypatch.undo()
    run.configure(recipe(tmp_path, "first", epochs=3, num_gpus=2))
    monkeypatch.setattr(RunDir, "read", read_trained)
    with pytest.raises(ConfigError, match=r"was trained with train\.epochs 2\.0, which is 3\.0 by now") as error:
        require_trained(run)
    assert "or give `train` the recipe as it was" in error.value.next_step
    monkeypatch.undo()
    run.configure(recipe(tmp_path, "first", epochs=2, num_gpus=2))
    monkeypatch.setattr(RunDir, "read", read_trained)
    require_trained(run)
    monkeypatch.undo()
    run.update(hashes={"data": "4567"})
    monkeypatch.setattr(RunDir, "read", read_trained)
    with pytest.raises(ConfigError, match=r"with hashes\.data '0123', which is '4567' by now: .* or other data"):
        require_trained(run)
