"""What is served of a run, and by which keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.recipe.schema import RunConfig
from configs.run.rundir import RunDir
from serve.launch.job import prepare


@pytest.mark.parametrize("word", ["train.epochs=3", "thinking=true", "merge.scale=0.5", "model=x/y"])
def test_keys_that_a_run_was_made_by_are_refused(word: str, tmp_path: Path) -> None:
    recipe = {"name": "a", "model": "m", "output_dir": str(tmp_path), "data": {"sources": "rows"}}
    run = RunDir.create(RunConfig.model_validate(recipe))
    for options in ({"what": run.path}, {"adapters": {"b": run.path}}):
        with pytest.raises(ConfigError, match="a run is served as it was trained"):
            prepare(**options, overrides=[word])
