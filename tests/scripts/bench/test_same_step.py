"""A step that is not the reference's is caught, and so is a check that would catch nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from scripts.bench.same_step import compare, without_boundaries

GRADIENT = {"a": torch.tensor([1.0, 2.0, -3.0]), "b": torch.tensor([[0.5], [4.0]])}


def left(out: Path, **ways: tuple[float, dict[str, torch.Tensor]]) -> Path:
    """What the two parts leave: the reference's loss 2.0 and GRADIENT, and ours."""
    (out / "reference.json").write_text(json.dumps({"loss": 2.0}), encoding="utf-8")
    save_file(GRADIENT, out / "reference.safetensors")
    (out / "ours.json").write_text(json.dumps({way: loss for way, (loss, _) in ways.items()}), encoding="utf-8")
    for way, (_, gradient) in ways.items():
        save_file(gradient, out / f"ours-{way}.safetensors")
    return out


def bent(by: float) -> dict[str, torch.Tensor]:
    return {"a": GRADIENT["a"] + by * torch.tensor([2.0, -1.0, 0.0]), "b": GRADIENT["b"]}


def test_the_same_step_passes_and_a_contaminated_one_is_caught(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = left(tmp_path, live=(2.001, bent(0.001)), accumulated=(2.0, GRADIENT), contaminated=(2.2, bent(0.9)))
    assert compare(out) == 0
    assert "✓ contaminated (meant to be caught)" in capsys.readouterr().out


@pytest.mark.parametrize("live", [(2.02, GRADIENT), (2.0, bent(0.3))], ids=["loss", "gradient"])
def test_another_loss_or_gradient_fails(tmp_path: Path, live: tuple[float, dict[str, torch.Tensor]]) -> None:
    assert compare(left(tmp_path, live=live, contaminated=(2.2, bent(0.9)))) == 1


@pytest.mark.parametrize(
    ("loss", "by", "code"),
    [(2.0011, 0.0005, 0), (2.004, 0.0005, 1), (2.0011, 0.1, 1)],
    ids=["alike", "loss", "gradient"],
)
def test_several_gpus_are_held_to_one_by_closer_bounds(
    loss: float, by: float, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = left(tmp_path, live=(2.001, GRADIENT), contaminated=(2.2, bent(0.9)))
    (out / "several.json").write_text(json.dumps({"live": loss}), encoding="utf-8")
    save_file(bent(by), out / "several-live.safetensors")
    assert compare(out) == code
    assert f"{'✗' if code else '✓'} several GPUs, live" in capsys.readouterr().out


def test_a_contaminated_step_that_looks_right_fails(tmp_path: Path) -> None:
    assert compare(left(tmp_path, live=(2.0, GRADIENT), contaminated=(2.001, GRADIENT))) == 1


def test_rows_without_boundaries_are_said_to_be_one_row() -> None:
    ids = torch.arange(7)[None]
    positions = torch.tensor([[0, 1, 2, 0, 1, 2, 3]])
    batch = {"input_ids": ids, "labels": ids, "position_ids": positions, "packed_seq_lengths": torch.tensor([3, 4])}
    forgotten = without_boundaries(batch)
    assert forgotten["position_ids"].tolist() == [[0, 1, 2, 3, 4, 5, 6]]
    assert forgotten["packed_seq_lengths"].tolist() == [7]
    assert forgotten["labels"] is ids
    assert batch["packed_seq_lengths"].tolist() == [3, 4]
