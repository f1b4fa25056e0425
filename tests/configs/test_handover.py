"""What stages hand to each other is checked on both sides, and says what is wrong with it."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest
from pydantic import ValidationError

import configs.handover
from configs.errors import TuneserveError
from configs.handover.base import HandedOver, read_rows, write_rows
from configs.handover.rows import HeldoutRow, ProofRow, as_requested
from configs.handover.selfmade import SelfMadeRow
from configs.handover.serving import ParityFigures, ProofFigures, ServedFigures
from configs.recipe.schema import DataConfig, RunConfig, SourceConfig
from configs.run.rundir import RunDir
from tests.facts import prepared

# LINE SEPARATOR, PARAGRAPH SEPARATOR, NEL, form feed: str.splitlines() splits at all of them, JSON at none.
ODD = "一\u2028二\u2029三\x85四\x0c五"


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    data = DataConfig(sources=[SourceConfig(path="rows.jsonl")])
    return RunDir.create(RunConfig(name="r", model="owner/model", output_dir=str(tmp_path), data=data))


def heldout(text: str = "问") -> HeldoutRow:
    return HeldoutRow(id="a:1", cluster="c", messages=[{"role": "user", "content": text}], answers=[text])


def test_rows_come_back_as_they_were_whatever_is_in_their_text(tmp_path: Path) -> None:
    rows = [heldout(ODD), heldout("二")]
    write_rows(tmp_path / "heldout.jsonl", rows)
    assert read_rows(tmp_path / "heldout.jsonl", HeldoutRow, "data") == rows


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": "x"}', "line 2: input_ids: Field required, and 3 more"),
        ('{"id": "x", "input_ids": [1, "二"], "answer_start": 1, "base_logprob": -1, "adapter_logprob": 0}',
         r"line 2: input_ids\.1: .* \(seen: '二'\)"),
        ('{"id": "x", "input_ids": [1], "answer_start": 1, "base_logprob": -1, "adapter_logprob": 0, "more": 1}',
         r"line 2: more: Extra inputs are not permitted \(seen: '1'\)"),
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: .* is no JSON object"),
    ],
)  # fmt: skip
def test_a_row_that_is_none_is_named_by_line_and_field(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "r" / "data" / "proof.jsonl"
    file.parent.mkdir(parents=True)
    good = ProofRow(id="x", input_ids=[1, 2], answer_start=1, base_logprob=-2.0, adapter_logprob=-1.0)
    write_rows(file, [good])
    with file.open("a", encoding="utf-8") as out:
        out.write(line + "\n")
    with pytest.raises(TuneserveError, match=said):
        read_rows(file, ProofRow, "train")


def test_a_missing_file_names_the_stage_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(TuneserveError, match=r"(?s)heldout.jsonl: missing; the data stage writes it.*tuneserve train"):
        read_rows(tmp_path / "data" / "heldout.jsonl", HeldoutRow, "data")


def test_the_next_step_names_the_recipe_of_the_run_wherever_in_it_the_file_lies(run: RunDir) -> None:
    for file in (run.data / "heldout.jsonl", run.selfmade / "unseen.jsonl"):
        with pytest.raises(TuneserveError) as failed:
            read_rows(file, HeldoutRow, "data")
        assert f"`tuneserve train {run.config_file}`" in str(failed.value.next_step)


def test_facts_survive_the_manifest_and_each_part_keeps_the_others(run: RunDir) -> None:
    facts = prepared("/models/base", system="你是客服。")
    run.update(prepared=facts, hashes={"data": "1"})
    served = ServedFigures(parity=ParityFigures(rows=2, equal=2), proof=None)
    run.update(served=served, exported={"a": served})
    run.update(exported={"b": served}, versions={"trl": "1"})
    found = run.read()
    assert run.prepared() == facts
    assert found.facts.served == served
    assert set(found.facts.exported) == {"a", "b"}
    assert (found.hashes, found.versions) == ({"data": "1"}, {"trl": "1"})


def test_a_verdict_is_written_for_readers_and_computed_when_it_is_read(run: RunDir) -> None:
    proof = ProofFigures(
        rows=2, mean_gap=0.1, mean_effect=4.0, tolerance=0.05, row_factor=10, worst_row="a", worst_gap=0.2,
        recovered=0.99, shift_per_token=0.0,
    )  # fmt: skip
    run.update(served=ServedFigures(parity=ParityFigures(rows=2, equal=2), proof=proof))
    raw = json.loads(run.manifest_file.read_text(encoding="utf-8"))
    assert raw["facts"]["served"]["proof"]["passed"] is True
    raw["facts"]["served"]["proof"] |= {"mean_gap": 3.0, "passed": True}
    run.manifest_file.write_text(json.dumps(raw), encoding="utf-8")
    found = run.read().facts.served
    assert found
    assert found.proof
    assert not found.proof.passed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["facts"]["prepared"].pop("end_token_id"), "facts.prepared.end_token_id: Field required"),
        (lambda m: m["facts"]["prepared"].update(familly="none"), "facts.prepared.familly: Extra inputs"),
        (lambda m: m["facts"]["prepared"].update(family="some"), r"facts.prepared.family: .*seen: 'some'"),
        (lambda m: m.update(schema_version=1), "schema_version is 1, this tuneserve reads 2"),
        (lambda m: m.pop("schema_version"), "schema_version: Field required"),
    ],
)
def test_a_manifest_of_another_layout_says_what_is_wrong(run: RunDir, change: Any, said: str) -> None:
    run.update(prepared=prepared())
    raw = json.loads(run.manifest_file.read_text(encoding="utf-8"))
    change(raw)
    run.manifest_file.write_text(json.dumps(raw), encoding="utf-8")
    with pytest.raises(TuneserveError, match=said) as error:
        run.read()
    assert error.value.next_step


def test_every_field_that_is_handed_over_says_what_it_is() -> None:
    modules = [import_module(f"configs.handover.{part.name}") for part in iter_modules(configs.handover.__path__)]
    every = [kind for module in modules for kind in vars(module).values() if isinstance(kind, type)]
    kinds = {kind for kind in every if issubclass(kind, HandedOver)}
    silent = [f"{kind.__name__}.{name}" for kind in kinds for name, f in kind.model_fields.items() if not f.description]
    assert len(kinds) > 25
    assert not silent


def self_made(**changes: object) -> dict[str, object]:
    said = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]
    row = {"id": "self:7", "language": "en", "kind": None, "messages": said, "prompt_ids": [1], "answer_ids": [2, 3]}
    return {**row, "base_logprob": -0.5, "use": "unseen", **changes}


def test_a_self_made_row_that_is_measured_on_has_the_base_s_own_likelihood() -> None:
    assert SelfMadeRow.model_validate(self_made()).base_logprob == -0.5
    assert SelfMadeRow.model_validate(self_made(use="train", base_logprob=None)).use == "train"
    with pytest.raises(ValidationError, match="has a base_logprob"):
        SelfMadeRow.model_validate(self_made(base_logprob=None))


def test_calls_are_sent_as_servers_take_them() -> None:
    call = {"type": "function", "function": {"name": "hours", "arguments": {"门": 3}}}
    messages = [
        {"role": "user", "content": "几点？"},
        {"role": "assistant", "content": "", "tool_calls": [call, {**call, "id": "mine"}]},
        {"role": "tool", "content": "9点"},
        {"role": "tool", "content": "10点"},
        {"role": "assistant", "content": "九点。"},
    ]
    sent = as_requested(messages)
    first, second = sent[1]["tool_calls"]
    assert first["function"] == {"name": "hours", "arguments": '{"门": 3}'}
    assert (second["id"], [one["tool_call_id"] for one in sent[2:4]]) == ("mine", [first["id"], "mine"])
    assert (sent[0], sent[4]) == (messages[0], messages[4])
    assert as_requested(sent) == sent
    assert call["function"]["arguments"] == {"门": 3}
