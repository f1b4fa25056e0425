"""Bad input reaches the user as one clear error with the next step and the right exit code, never as a traceback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.trainer.conftest import make_run, run_stage, write_jsonl

pytestmark = pytest.mark.slow

QA = [{"instruction": f"第{i}问", "output": f"第{i}答"} for i in range(12)]


@pytest.mark.parametrize(
    ("sections", "code", "message", "next_step"),
    [
        ({"data": {"sources": "/nowhere/rows.jsonl"}}, 2, "no such file or folder", "data.sources[].path"),
        ({"data": {"sources": "EMPTY"}}, 2, "no rows in it", "data.sources[].path"),
        ({"data": {"sources": "ANSWERLESS"}}, 2, "no conversation is left to train on", "write the answer"),
        ({"model": "/nowhere/model"}, 2, "no such folder", "set `model`"),
        ({"train": {"report_to": ["swanlab"]}}, 2, "swanlab needs the package swanlab", "pip install swanlab"),
        (
            {"merge": {"formats": ["vllm", "gguf"], "gguf_quant": "q4_k_m"}},
            2,
            "llama-quantize, which is not on the PATH",
            "merge.gguf_quant",
        ),
        ({"lora": {"target_modules": ["q_prj"]}}, 2, "has no layers named q_prj", "q_proj"),
        ({"train": {"keep_best": True}, "data": {"sources": "QA", "eval_split": 0}}, 2, "is 0", "data.heldout"),
        ({"data": {"sources": "QA", "max_length": 8}}, 2, "no training row is left: overlong", "data.max_length"),
    ],
)
def test_data_stage(
    workshop: Path,
    monkeypatch: pytest.MonkeyPatch,
    sections: dict[str, Any],
    code: int,
    message: str,
    next_step: str,
) -> None:
    monkeypatch.setenv("PATH", str(workshop))  # no llama-quantize, wherever these tests run
    files = {
        "EMPTY": write_jsonl(workshop / "empty.jsonl", []),
        "ANSWERLESS": write_jsonl(workshop / "answerless.jsonl", [{"instruction": "问", "output": ""}]),
        "QA": write_jsonl(workshop / "qa.jsonl", QA),
    }
    if "data" in sections:
        source = sections["data"]["sources"]
        sections |= {"data": sections["data"] | {"sources": str(files.get(source, source))}}
    run = make_run(workshop, "bad-data", **sections)
    done = run_stage("data", run, folder=workshop, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
    assert message in done.stderr
    assert "next: " in done.stderr
    assert next_step in done.stderr.partition("next: ")[2]


def test_training_before_the_data_are_prepared(workshop: Path) -> None:
    """A stage goes by the manifest: config.yaml may be in its owner's editor by then."""
    run = make_run(workshop, "unprepared")
    run.config_file.write_text("name: [", encoding="utf-8")
    done = run_stage("train", run, folder=workshop, check=False)
    assert done.returncode == 2
    assert "the data are not prepared yet" in done.stderr


def test_early_stopping_needs_held_out_rows(workshop: Path) -> None:
    """The recipe names some, and none is left."""
    long = write_jsonl(workshop / "long.jsonl", [{"instruction": "问", "output": "长" * 400}])
    sources = str(write_jsonl(workshop / "qa.jsonl", QA))
    data = {"sources": sources, "heldout": str(long), "max_length": 100, "max_dropped": 0.5}
    run = make_run(workshop, "no-heldout", data=data, train={"early_stopping": 2})
    done = run_stage("data", run, folder=workshop, check=False)
    assert done.returncode == 2
    assert "no row is held out, although data.heldout asks for some" in done.stderr
    assert "data.eval_split" in done.stderr


def test_a_folder_that_is_no_run(workshop: Path) -> None:
    from configs.run.rundir import RunDir

    done = run_stage("data", RunDir(workshop), folder=workshop, check=False)
    assert done.returncode == 2
    assert "not a run directory" in done.stderr
