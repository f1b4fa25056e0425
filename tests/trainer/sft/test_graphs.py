"""Steps laid out to be recorded are the trainer's own steps; what goes wrong with a recording is seen and survived.

Without a GPU the recording itself is replaced by running the work again, and the GPU's attention by transformers',
which finds the rows by their positions; layout, labels, gradients and the checks are the real ones.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.conftest import DEMO_MODEL, run_script

pytestmark = pytest.mark.slow

CHILD = Path(__file__).with_name("graphs_child.py")


@pytest.fixture(scope="module")
def found(workshop: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the child found: Unsloth patches the process that imports it, so that it gets one of its own."""
    out = tmp_path_factory.mktemp("graphs") / "found.json"
    done = run_script(CHILD.read_text(encoding="utf-8"), str(DEMO_MODEL), str(out), folder=workshop)
    assert done.returncode == 0, done.stderr[-3000:]
    loaded: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return loaded


def test_recorded_steps_have_the_loss_and_gradient_of_the_trainers_own(found: dict[str, Any]) -> None:
    steps = found["steps"]
    assert [s["replayed"] for s in steps] == [1, 2, 3, 4, 5, 6]
    for step in steps:
        assert step["loss"] == pytest.approx(step["own_loss"], rel=1e-4)
        assert step["cosine"] > 0.99999
    # The lengths differ from step to step, the sizes that are recorded do not.
    assert len({tuple(s["lengths"]) for s in steps}) == len(steps)
    assert found["facts"]["sizes"] == [128, 256]
    assert (found["facts"]["passes"], found["facts"]["other_passes"], found["facts"]["share"]) == (6, 0, 1)
    assert found["facts"]["mean_tokens"] == pytest.approx((4 * 256 + 2 * 128) / 6, abs=0.1)


def test_a_batch_of_fewer_rows_is_recorded_too(found: dict[str, Any]) -> None:
    assert (found["short"]["replayed"], found["short"]["own"]) == (7, 0)
    assert found["short"]["cosine"] > 0.99999


def test_gradients_survive_being_cleared_and_an_evaluation_between_steps(found: dict[str, Any]) -> None:
    assert found["cleared_cosine"] > 0.99999
    assert found["training"]


def test_gradients_add_up_over_the_passes_of_a_step(found: dict[str, Any]) -> None:
    *alike, replayed, others = found["accumulated"]
    assert alike == pytest.approx([1, 1, 1, 1], abs=1e-4)
    assert (replayed, others) == (5, 1)


def test_a_batch_that_no_recording_was_made_for_is_left_to_the_trainer(found: dict[str, Any]) -> None:
    # 150 tokens, most of them trained, do not fit into the largest size; 57 would leave a row of 327 to be filled up.
    assert [(replayed, own) for replayed, own, _ in found["unforeseen"]] == [(0, 1), (1, 1), (1, 0), (1, 1)]
    assert all(cosine > 0.99999 for _, _, cosine in found["unforeseen"])


def test_recorded_steps_on_soft_targets_have_the_loss_and_gradient_of_the_live_ones(found: dict[str, Any]) -> None:
    assert found["soft_passes"] == [6, 0, ""]
    for step in found["soft"]:
        assert step["loss"] == pytest.approx(step["own_loss"], rel=1e-4)
        assert step["cosine"] > 0.99999
        # They are other targets than the written tokens.
        assert step["hard"] < 0.995


def test_a_live_step_on_soft_targets_is_the_cross_entropy_to_them(found: dict[str, Any]) -> None:
    # Six batches, each with its rows laid end to end and padded.
    assert len(found["live"]) == 12
    for step in found["live"]:
        assert step["loss"] == pytest.approx(step["wanted"], rel=1e-4)
        assert step["cosine"] > 0.99999


def test_what_compiles_in_its_second_run_is_recorded(found: dict[str, Any]) -> None:
    assert found["compiling"] == [pytest.approx(1, abs=1e-5), ""]


@pytest.mark.parametrize("fault", ["boundaries", "stale", "raises"])
def test_a_wrong_recording_is_given_up(found: dict[str, Any], fault: str) -> None:
    seen = found["faults"][fault]
    assert seen["off"]
    assert seen["cosine"] > 0.99999
    assert seen["later_replayed"] == seen["replayed"]


@pytest.mark.parametrize(
    ("found", "expected", "trained", "items", "alike"),
    [
        # Few trained tokens that the model nearly knows: rounding alone is more than a share of so small a loss.
        (0.11871, 0.11958, 35, 300, True),
        # Trained tokens that the recording had no room for.
        (0.96863, 1.23184, 519, 900, False),
        (1.2000, 1.2050, 900, 900, True),
        (1.2000, 1.2100, 900, 900, False),
        (float("nan"), 1.0, 900, 900, False),
        (float("nan"), float("nan"), 900, 900, False),
    ],
)
def test_losses_agree_but_for_rounding(found: float, expected: float, trained: int, items: int, alike: bool) -> None:
    import torch

    from trainer.sft.graphs import close

    assert close(torch.tensor(found), torch.tensor(expected), trained, items) is alike
