"""A data set by its id, through the hubs' own clients: fetched, cached, and what a wrong id is told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from modelscope_hub.config import set_default_config
from typer.testing import CliRunner

from configs.errors import ConfigError, DataError, TuneserveError
from configs.tables import read_rows
from eval.ask.mock_server import MockServer
from eval.tasks.source import find_table, located
from scripts.cli import app
from tests.eval.conftest import serving

ROWS = b'{"question": "2+3", "answer": "5"}\n'


class Hub(MockServer):
    """ModelScope with one data set, `owner/sums`, of one file."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[str] = []
        self.queries: list[str] = []
        self.app.router.add_get("/api/{path:.*}", self._get)

    async def _get(self, request: web.Request) -> web.Response:
        self.requests.append(request.path)
        self.queries.append(request.query_string)
        if "owner/deep" in request.path:
            return web.Response(body=b"[" * 100_000, content_type="application/json")
        if "owner/sums" not in request.path:
            return web.json_response({}, status=404)
        if not request.path.endswith("/repo/tree"):
            return web.Response(body=ROWS)
        file = {"Path": "test.jsonl", "Type": "blob", "Size": len(ROWS)}
        strange = file | {"Path": "\x1b]52;c;QQ==\x1b\\.jsonl"}  # the client would show it on the terminal
        return web.json_response({"Code": 200, "Success": True, "Data": {"Files": [file, strange]}})


@pytest.fixture(scope="module", autouse=True)
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Of the module; the client remembers its first address, which another test's import may have been."""
    server = Hub()
    with serving(server) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELSCOPE_ENDPOINT", address.base_url.removesuffix("/v1"))
        patch.setenv("MODELSCOPE_CACHE", str(tmp_path_factory.mktemp("modelscope")))
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        set_default_config(None)
        yield server
    set_default_config(None)


def rows(offline: bool) -> list[dict]:
    with located("owner/sums", "modelscope", offline) as root:
        return read_rows(root / "test.jsonl")


def test_modelscope_fetches_once_and_offline_takes_the_cache(hub: Hub) -> None:
    with pytest.raises(TuneserveError, match="'owner/sums' is not in the cache of ModelScope"):
        rows(offline=True)
    assert not hub.requests
    assert rows(offline=False) == [json.loads(ROWS)]
    asked = len(hub.requests)
    assert not [path for path in hub.queries if "\x1b" in path]
    assert rows(offline=True) == [json.loads(ROWS)]
    assert len(hub.requests) == asked > 0


@pytest.mark.parametrize(("name", "source"), [("owner/none", "ModelScope"), ("owner/a..b", "Hugging Face")])
def test_an_id_that_the_hub_does_not_know_is_a_configuration_error(name: str, source: str) -> None:
    with pytest.raises(ConfigError, match=rf"data set '{re.escape(name)}' .*, and {source} has none of that name"):
        located(name, source.lower().replace(" ", "")).__enter__()


def test_an_answer_nested_without_end_is_said() -> None:
    with pytest.raises(TuneserveError, match="'owner/deep' could not be fetched from ModelScope"):
        located("owner/deep", "modelscope").__enter__()


@pytest.mark.parametrize(("verb", "times"), [("eval", 1), ("compare", 2)])
def test_the_hub_can_be_named_on_the_command_line(verb: str, times: int, tmp_path: Path) -> None:
    endpoint = ["--base-url", "http://127.0.0.1:9", "--model", "m"] * times
    options = ["--tasks", "gsm8k=owner/none", "hub=modelscope", "--out", str(tmp_path)]
    assert "ModelScope has none of that name" in str(CliRunner().invoke(app, [verb, *endpoint, *options]).exception)


@pytest.mark.parametrize(
    ("files", "meant"),
    [
        (("data/test.jsonl", "data/test_socratic.jsonl", "data/train.jsonl"), "data/test.jsonl"),
        (("data/test-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"), "data/test-00000-of-00001.parquet"),
        (("data/test-00000-of-00002.parquet", "data/test-00001-of-00002.parquet"), None),
        (("en/test-00000-of-00001.parquet", "zh/test-00000-of-00001.parquet"), None),
        (("latest.jsonl", "test.jsonl"), "test.jsonl"),
        (("test.jsonl", "._test.jsonl", "__MACOSX/._test.jsonl"), "test.jsonl"),  # as a Mac packs it
    ],
)
def test_a_part_of_a_split_is_not_taken_for_the_whole(
    files: tuple[str, ...], meant: str | None, tmp_path: Path
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    if meant:
        assert find_table(tmp_path, ("test", "dev")) == tmp_path / meant
    else:
        with pytest.raises(DataError, match=r"which file is meant\? It holds .*test-0"):
            find_table(tmp_path, ("test", "dev"))
