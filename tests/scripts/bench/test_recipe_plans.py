"""What a recipe says it needs is what the plan says now."""

from __future__ import annotations

import pytest

from configs.recipe.load import load_config
from configs.recipe.recipes import recipes
from scripts.bench.recipe_plans import planned_line


@pytest.mark.parametrize("name", [name for name in recipes() if load_config(name).model != load_config("demo").model])
def test_the_recipe_says_what_the_plan_says(name: str) -> None:
    line = planned_line(recipes()[name])
    assert line is not None, "say for which card: # Planned for rtx4090: 5,000 rows of 500 tokens"
    assert line in recipes()[name].read_text(encoding="utf-8").splitlines(), (
        "out of date: python -m scripts.bench.recipe_plans --write"
    )
