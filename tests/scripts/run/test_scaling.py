"""The stage `scale` over a real vLLM: each scale is measured as training computed it, and the chosen one is served."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from configs.errors import TuneserveError
from configs.handover.base import read_rows, write_rows
from configs.handover.rows import ProofRow
from configs.handover.scale import MeasuredScale
from configs.handover.selfmade import SelfMadeRow
from configs.recipe.load import load_config
from configs.recipe.schema import RunConfig
from configs.run.rundir import RunDir
from eval.compare import scales
from scripts.run import scaling
from scripts.run.scaling import choose_scale, what_is_asked
from scripts.run.serving import OnDemand
from scripts.run.stages import run_stage
from serve.launch.target import adapter_target, merged_target
from serve.proof.verify import verify_weights
from tests.scripts.conftest import Demo

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """The demo's training, with answers of some length that stand for the base's own, and `merge.scale: auto`."""
    run = RunDir(tmp_path_factory.mktemp("scaled") / "demo")
    shutil.copytree(demo.run.path, run.path)
    shutil.rmtree(run.merged)
    run.configure(recipe(run, "auto"))
    proof = read_rows(run.data / "proof.jsonl", ProofRow, "train")
    rows = [
        SelfMadeRow(
            id=f"self:{number}",
            language="zh",
            kind=None,
            messages=[{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}],
            prompt_ids=row.input_ids[: row.answer_start],
            answer_ids=(row.input_ids[row.answer_start :] * 8)[: 8 + number],
            base_logprob=-1.0,
            use="unseen",
        )
        for number, row in enumerate(proof[:12])
    ]
    run.selfmade.mkdir(exist_ok=True)
    write_rows(run.selfmade / "unseen.jsonl", rows)
    return run


def recipe(run: RunDir, scale: float | str) -> RunConfig:
    return load_config(run.config_file, [f"merge.scale={scale}", f"output_dir={run.path.parent}"])


def test_what_is_chosen_is_measured_merged_proved_and_served(
    trained: RunDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scales, "_chosen", lambda points: 0.5)
    config = trained.config()
    with trained.exclusively():
        choose_scale(trained, config)
    facts = trained.read().scaled()
    assert facts is not None
    assert (facts.scale, trained.scale()) == (0.5, 0.5)
    assert "the adapter counts 0.5 times as much" in capsys.readouterr().out
    asked = what_is_asked(trained, config)
    assert facts.heldout_rows == len(asked.heldout) > 32
    assert (facts.general_rows, facts.length_rows) == (6, 3)
    assert facts.points[-1].accuracy > 0.8 > facts.base_accuracy

    # Every scale was served as it is: held-out answers are as likely as the trainer found them at that scale.
    stored = {row.id: row for row in read_rows(trained.data / "proof.jsonl", ProofRow, "train")}
    for scale in (0.0, *scaling.SCALES):
        measured = MeasuredScale.model_validate_json((trained.scales / f"{scale:g}.json").read_bytes())
        pairs = [
            (found, stored[row.id].at(scale))
            for found, row in zip(measured.heldout, asked.heldout, strict=True)
            if row.id in stored
        ]
        assert len(pairs) == 32
        assert all(0 <= right <= tokens for right, tokens in zip(measured.chosen, asked.heldout_tokens, strict=True))
        off = sum(abs(found - wanted) for found, wanted in pairs) / 32
        assert off < 0.5, f"scale {scale:g} is off by {off:.3f} nats"
    assert sorted(file.name for file in trained.scales.iterdir()) == ["0.3.json", "0.5.json", "0.7.json", "0.85.json",
        "0.json", "1.json"]  # fmt: skip

    run_stage("merge", trained)
    assert trained.read().stages["merge"].figures["scale"] == 0.5
    with OnDemand(lambda: merged_target(trained, config), config.serve, trained.logs / "merged.log") as server:
        client, name = server.up().client, config.served_name
        proof = verify_weights(trained, config, client, name).proof
        assert proof is not None
        assert proof.passed, proof.sentence()
        assert (proof.scale, proof.served_scale) == (0.5, None)
        # The manifest says another scale than the one that is served.
        other = recipe(trained, 0.85)
        trained.configure(other)
        checks = verify_weights(trained, other, client, name)
        trained.configure(config)
        assert checks.proof is not None
        assert (checks.proof.passed, checks.proof.served_scale) == (False, 0.5)
        with pytest.raises(TuneserveError, match=r"meant to count 0.85 times .* what is served counts 0.5 times"):
            checks.require()
    served = adapter_target(trained, config).adapters[0].folder
    assert served == trained.scaled_adapter
    assert json.loads((served / "adapter_config.json").read_text())["lora_alpha"] == 32 * 0.5


def test_what_was_measured_before_a_kill_is_not_measured_again(
    trained: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, asked = trained.config(), []

    def only(run: RunDir, config: RunConfig, rows: Any, files: dict[float, Path], adapters: Path) -> None:
        asked.append(sorted(files))
        for scale, file in files.items():
            one = MeasuredScale.model_validate_json((trained.scales / "1.json").read_bytes())
            file.write_text(one.model_copy(update={"scale": scale}).model_dump_json())

    monkeypatch.setattr(scaling, "_ask", only)
    with trained.exclusively():
        choose_scale(trained, config)
        assert asked == []  # finished, nothing changed
        (trained.scales / "0.7.json").unlink()
        choose_scale(trained, config)
        assert asked == [[0.7]]
        (trained.scales / "0.5.json").write_text('{"scale": 0.5')
        with pytest.raises(TuneserveError, match=r"0\.5\.json: the whole: Invalid JSON"):
            scaling._measured(trained, config, scaling.what_is_asked(trained, config))
        with (trained.adapter / "adapter_config.json").open("a") as another:
            another.write(" ")
        with pytest.raises(FileNotFoundError):
            choose_scale(trained, config)
        assert asked[1:] == [[0.0, 0.3, 0.5, 0.7, 0.85, 1.0]]


def test_a_run_without_an_adapter_is_told_to_train(trained: RunDir, tmp_path: Path) -> None:
    run = RunDir.create(recipe(trained, "auto").model_copy(update={"output_dir": str(tmp_path)}))
    with pytest.raises(TuneserveError, match="has no adapter yet") as error:
        choose_scale(run, run.config())
    assert error.value.next_step == f"tuneserve train {run.config_file}"


def test_without_unseen_questions_the_file_is_named(trained: RunDir, tmp_path: Path) -> None:
    run = RunDir(tmp_path / "demo")
    shutil.copytree(trained.path, run.path, symlinks=True)
    (run.selfmade / "unseen.jsonl").write_text("", encoding="utf-8")
    with run.exclusively(), pytest.raises(TuneserveError, match=r"unseen.jsonl: no rows in it"):
        choose_scale(run, run.config())
