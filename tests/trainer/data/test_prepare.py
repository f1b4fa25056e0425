"""Data that are prepared once: a kill on the way leaves nothing for good."""

from __future__ import annotations

import json
import resource
import shutil
from pathlib import Path

import pytest

from configs.cache.folder import private_cache
from configs.recipe.load import load_config
from trainer.data import prepare as module
from trainer.data.prepare import content_key, prepare
from trainer.data.report import data_warnings

DEMO = Path("configs/demo/model").resolve()


def test_what_a_killed_call_left_is_cleared_and_an_error_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESERVE_CACHE", str(tmp_path / "cache"))
    rows = [
        {"messages": [{"role": "user", "content": f"问{n}"}, {"role": "assistant", "content": f"答{n}。"}]}
        for n in range(8)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = load_config("demo", [f"data.sources=[{tmp_path / 'rows.jsonl'}]", "data.replay=null"])
    root, key = private_cache("data"), content_key(config, DEMO)
    left = root / f".{key}.partial"
    left.mkdir()
    (left / "half").write_bytes(b"x")
    with monkeypatch.context() as patch:
        patch.setattr(module, "make_report", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(config, DEMO)
    assert not left.exists()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))  # as on a full disk
    try:
        with pytest.raises(OSError, match="File too large") as full:
            prepare(config, DEMO)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert full.value.filename == str(root)
    left.mkdir()
    (left / "half").write_bytes(b"x")
    prepared = prepare(config, DEMO)
    assert prepared.folder == root / key
    assert not (prepared.folder / "half").exists()
    assert {f.name for f in root.iterdir()} == {key, f".{key}.lock"}


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.json", "merges.txt", "chat_template.jinja"])
def test_each_file_of_the_tokenizer_decides_what_is_prepared(name: str, tmp_path: Path) -> None:
    config = load_config("demo", ["data.replay=null"])
    model = Path(shutil.copytree(DEMO, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors")))
    (model / name).write_bytes(b"one")
    before = content_key(config, model)
    (model / name).write_bytes(b"two")
    assert content_key(config, model) != before


def test_held_out_questions_keep_their_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESERVE_CACHE", str(tmp_path / "cache"))
    tools = [{"type": "function", "function": {"name": "hours", "parameters": {"type": "object", "properties": {}}}}]
    rows = [
        {"messages": [{"role": "user", "content": f"第{n}号门几点开？"}, {"role": "assistant", "content": f"{n}点。"}],
         "tools": tools}
        for n in range(40)
    ]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = load_config("demo", [f"data.sources=[{tmp_path / 'rows.jsonl'}]", "data.replay=null"])
    heldout = (prepare(config, DEMO).folder / "heldout.jsonl").read_text().splitlines()
    served = {"name": "hours", "description": None, "parameters": tools[0]["function"]["parameters"]}
    assert [json.loads(line)["tools"] for line in heldout] == [[{"type": "function", "function": served}]] * 2
    calls = [{"type": "function", "function": {"name": "hours", "arguments": {}}}]
    for row in rows:
        row["messages"][1] = {"role": "assistant", "content": "", "tool_calls": calls}
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert prepare(config, DEMO).report.reasons["heldout_call"].count == 2


def test_fewer_general_rows_than_asked_for_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESERVE_CACHE", str(tmp_path / "cache"))
    for name, count in (("own", 40), ("general", 5), ("rare", 3)):
        rows = [{"question": f"{name}{n}？", "answer": f"{n}。"} for n in range(count)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sources = f"[{tmp_path}/own.jsonl, {{path: {tmp_path}/rare.jsonl, weight: 0.1}}]"

    def said(ratio: float) -> list[str]:
        replay = f"{{source: {tmp_path}/general.jsonl, ratio: {ratio}}}"
        config = load_config("demo", [f"data.sources={sources}", f"data.replay={replay}"])
        return data_warnings(prepare(config, DEMO).report, config)

    rare = f"{tmp_path}/rare.jsonl: none of its 3 usable conversations is trained"
    assert said(0.1) == [rare]
    assert said(0.5)[:1] == [rare]
    assert "general rows are asked for (0.5 to 1)" in said(0.5)[1]
    assert "general.jsonl has 5" in said(0.5)[1]
