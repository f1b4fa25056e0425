"""Log-probabilities of fixed texts come back in order, with the tokens they belong to."""

import json
from pathlib import Path

import pytest

from configs.errors import ConfigError, EndpointError
from eval.ask.endpoint import Endpoint, Settings
from eval.compare.logprobs import FILE, read_drift, record_logprobs, text_logprobs


def test_texts_in_order(endpoint: Endpoint) -> None:
    found = text_logprobs(endpoint, ["春天来了", "秋天"], Settings(timeout_s=5.0))
    assert [list(text.token_ids) for text in found] == [[ord(c) for c in "天来了"], [ord("天")]]
    assert found[0].positions[1][ord("来")] == pytest.approx(-1 / 3)


def test_a_server_without_prompt_logprobs_is_named(endpoint: Endpoint) -> None:
    with pytest.raises(EndpointError, match="returned no prompt_logprobs"):
        text_logprobs(endpoint, [""], Settings(timeout_s=5.0))


def test_drift_between_two_folders(endpoint: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["春天来了", "秋天到了", "冬天还远"]
    settings = Settings(timeout_s=5.0)
    for side in ("base", "tuned"):
        record_logprobs(endpoint, tmp_path / side, texts, settings)
    still = read_drift(tmp_path / "base", tmp_path / "tuned")
    assert still is not None
    assert still.change_per_character == 0.0
    path = tmp_path / "tuned" / FILE
    moved = json.loads(path.read_text(encoding="utf-8"))
    for row in moved["texts"]:
        row["positions"] = [{token: value - 0.1 for token, value in p.items()} for p in row["positions"]]
    path.write_text(json.dumps(moved), encoding="utf-8")
    drift = read_drift(tmp_path / "base", tmp_path / "tuned")
    assert drift is not None
    assert drift.change_per_character == pytest.approx(-0.1 * 3 / 4)
    assert drift.kl_per_token > 0
    moved["texts"][1] = moved["texts"][0] | {"text": moved["texts"][1]["text"]}  # another tokenizer
    path.write_text(json.dumps(moved), encoding="utf-8")
    assert read_drift(tmp_path / "base", tmp_path / "tuned") is None
    assert "reads it as other tokens than" in capsys.readouterr().out
    record_logprobs(endpoint, tmp_path / "other", texts[:2], settings)
    with pytest.raises(ConfigError, match="different texts"):
        read_drift(tmp_path / "base", tmp_path / "other")
    with pytest.raises(ConfigError, match="no log-probabilities recorded"):
        read_drift(tmp_path / "base", tmp_path / "nothing")


TEXT = {"text": "a", "token_ids": [1], "positions": [{"1": -0.5}]}


def record(**text: object) -> str:
    return json.dumps({"model": "m", "texts_sha256": "0", "texts": [{**TEXT, **text}]})


@pytest.mark.parametrize(
    "damaged",
    [
        *("{", "[]", "{}", "[" * 100_000),
        *(record(token_ids=ids) for ids in ([], [2], [1, 1], "1", None, [[]])),
        *(record(positions=positions) for positions in ([{"1": float("nan")}], [{"x": -0.5}], {}, [{"1": None}])),
    ],
)
def test_a_damaged_record_is_said_with_the_next_step(damaged: str, endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(damaged, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"damaged: .*\n.*delete it"):
        record_logprobs(endpoint, tmp_path, ["text"])
    with pytest.raises(ConfigError, match=r"damaged: .*\n.*delete it"):
        read_drift(tmp_path, tmp_path)
