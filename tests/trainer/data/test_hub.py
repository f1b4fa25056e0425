"""What is fetched by hub id, through the hubs' own clients; the network beneath them is a stand-in."""

import hashlib
import io
import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import datasets
import pytest
import requests
from modelscope.hub.api import HubApi
from modelscope.hub.errors import HubError

from configs.errors import ConfigError, DataError, TuneserveError
from configs.hub import resolve_model
from configs.schema import SourceConfig
from configs.tables import RawRow
from trainer.data.sources import fingerprint, read_source
from trainer.export.upload import push

ROWS = b"".join(b'{"instruction": "%d", "output": "%c"}\n' % (i, 96 + i) for i in (1, 2, 3))


class Hub:
    """ModelScope with some files under `owner/rows`."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.asked, self.down = files, 0, False

    def send(self, request: Any, **options: Any) -> requests.Response:
        self.asked += 1
        if self.down:
            raise requests.ConnectionError("no route to host")
        sums = {n: hashlib.sha256(b).hexdigest() for n, b in self.files.items()}
        listed = [{"Path": n, "Type": "blob", "Size": len(self.files[n]), "Sha256": s} for n, s in sums.items()]
        listing = json.dumps({"Code": 200, "Success": True, "Data": {"Files": listed}}).encode()
        response = requests.Response()
        response.raw = io.BytesIO(next((b for n, b in self.files.items() if n in request.url), listing))
        response.status_code, response.url = 200 if "owner/rows" in request.url else 404, request.url
        return response


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hub:
    hub = Hub({"train.jsonl": ROWS, "configuration.json": b'{"framework": "x"}'})
    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", lambda self, request, **options: hub.send(request))
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return hub


def read(offline: bool = False, **source: Any) -> list[str]:
    wanted = SourceConfig.model_validate({"path": "owner/rows", **source})
    rows = read_source(wanted, seed=1, hub="modelscope", offline=offline)
    return [row.value["output"] for row in rows if isinstance(row, RawRow)]


def test_modelscope_is_fetched_once_and_offline_reads_its_cache(hub: Hub) -> None:
    with pytest.raises(TuneserveError, match="data set 'owner/rows' is not in the cache of ModelScope"):
        read(offline=True)
    assert not hub.asked
    assert read() == ["a", "b", "c"]
    asked = hub.asked
    assert read(offline=True, split="train[:2]") == read(offline=True, path="owner/rows#:2") == ["a", "b"]
    assert hub.asked == asked


@pytest.mark.parametrize(
    ("source", "kind", "message", "next_step"),
    [
        ({"path": "owner/none"}, ConfigError, "ModelScope has none of that name", "check the name and `hub`"),
        ({"split": "half"}, DataError, "could not be loaded: .*Unknown split", "check the name, the split"),
        ({}, TuneserveError, "could not be fetched from ModelScope: .*no route", "check the network"),
    ],
)
def test_what_modelscope_does_not_give_is_one_error(
    hub: Hub, source: dict[str, str], kind: type[TuneserveError], message: str, next_step: str
) -> None:
    hub.down = not source
    with pytest.raises(TuneserveError, match=message) as error:
        read(**source)
    assert type(error.value) is kind
    assert next_step in error.value.next_step


def test_a_changed_data_set_has_another_fingerprint(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    source = SourceConfig(path="owner/rows")
    before = fingerprint(source, hub="modelscope", offline=False)
    hub.files["train.jsonl"] = ROWS * 2
    assert len(read()) == 6
    assert fingerprint(source, hub="modelscope", offline=True) != before
    found = []
    for content in (ROWS, ROWS, ROWS * 2):
        loaded = datasets.Dataset.from_dict({"text": [content.decode()]})
        monkeypatch.setattr(datasets, "load_dataset", lambda *a, loaded=loaded, **o: loaded)
        found.append(fingerprint(source, hub="huggingface", offline=False))
    assert found[0] == found[1] != found[2]


def test_a_model_of_modelscope_is_fetched_without_weights_and_found_offline(hub: Hub) -> None:
    hub.files = {"tokenizer_config.json": b"{}", "config.json": b"{}", "model.safetensors": b"\2" + bytes(7) + b"{}"}
    with pytest.raises(TuneserveError, match="not in the cache of ModelScope"):
        resolve_model("owner/rows", "modelscope", offline=True)
    folder = resolve_model("owner/rows", "modelscope", weights=False)
    assert not list(folder.glob("*.safetensors"))
    resolve_model("owner/rows", "modelscope")
    assert list(resolve_model("owner/rows", "modelscope", offline=True).glob("*.safetensors"))


def test_push_to_modelscope_makes_a_private_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = create_autospec(HubApi, instance=True)
    monkeypatch.setattr(sys.modules["modelscope.hub.api"], "HubApi", lambda: api)
    for name in ("config.json", "README.md"):
        (tmp_path / name).touch()
    assert push(tmp_path, "owner/rows", "modelscope") == "https://modelscope.cn/models/owner/rows"
    api.create_repo.assert_called_once_with("owner/rows", visibility=1, exist_ok=True)
    assert api.upload_folder.call_args.kwargs["folder_path"] == str(tmp_path)
    api.create_repo.side_effect = HubError("401 no token")
    with pytest.raises(TuneserveError, match="401 no token"):
        push(tmp_path, "owner/rows", "modelscope")
