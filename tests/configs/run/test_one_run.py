"""No run takes the place of the model that it works on, or of a run of another kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.recipe.schema import DataConfig, ForeignConfig, RunConfig, SourceConfig
from configs.run.rundir import RunDir


def trained(output: Path, model: str = "owner/model") -> RunConfig:
    data = DataConfig(sources=[SourceConfig(path="rows.jsonl")])
    return RunConfig(name="r", model=model, output_dir=str(output), data=data)


def judged(output: Path, model: str = "owner/other", adapter: str | None = None) -> RunConfig:
    return trained(output).model_copy(update={"foreign": ForeignConfig(model=model, adapter=adapter)})


def test_a_judgement_does_not_take_the_place_of_a_training(tmp_path: Path) -> None:
    run = RunDir.create(trained(tmp_path))
    written = run.config_file.read_bytes()
    with pytest.raises(ConfigError, match="is a run that trains a model, and this one judges"):
        RunDir.create(judged(tmp_path))
    assert run.config_file.read_bytes() == written


def test_a_training_does_not_take_the_place_of_a_judgement(tmp_path: Path) -> None:
    RunDir.create(judged(tmp_path))
    RunDir.create(judged(tmp_path))
    with pytest.raises(ConfigError, match=r"is a run that judges .*, and this one trains"):
        RunDir.create(trained(tmp_path))


@pytest.mark.parametrize("key", ["model", "foreign.model", "foreign.adapter"])
def test_a_run_is_not_made_of_what_lies_in_it(tmp_path: Path, key: str) -> None:
    own = tmp_path / "r" / "merged"
    own.mkdir(parents=True)
    (tmp_path / "r" / ".run.lock").touch()
    (tmp_path / "link").symlink_to(own)
    config = {
        "model": trained(tmp_path, model=str(tmp_path / "link")),
        "foreign.model": judged(tmp_path, str(own)),
        "foreign.adapter": judged(tmp_path, adapter=str(own)),
    }[key]
    with pytest.raises(ConfigError, match=f"^{key}: .* would be written in its place"):
        RunDir.create(config)
    assert not (tmp_path / "r" / "run.json").exists()
    other = config.model_copy(update={"name": "another"})
    RunDir.create(other)
