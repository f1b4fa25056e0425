"""What is fetched by hub id, through the hubs' own clients; the network beneath them is a stand-in."""

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from modelscope.hub.api import HubApi
from modelscope.hub.errors import HubError

from configs.errors import ConfigError, DataError, TuneserveError
from configs.network.hub import resolve_model
from configs.recipe.schema import SourceConfig
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
    monkeypatch.setattr("modelscope_hub._openapi.DOWNLOAD_RETRY_MAX_DELAY_SECONDS", 0.01)
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path))
    monkeypatch.setattr("modelscope_hub.config._default_config", None)  # of another test's cache
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


def test_a_file_of_another_format_is_not_left_out_without_a_word(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.files |= {"train-2.jsonl": ROWS, "train-3.csv": b"instruction,output\n1,d\n"}
    assert read() == ["a", "b", "c"] * 2
    assert "owner/rows: train-3.csv is of another format" in " ".join(capsys.readouterr().out.split())
    hub.files = {"train.jsonl": ROWS}
    with pytest.raises(
        ConfigError, match=r"train-2\.jsonl, train-3\.csv: fetched earlier, and gone from ModelScope"
    ) as gone:
        read()
    subprocess.run(gone.value.next_step.split("`")[1], shell=True, check=True)
    assert len(read()) == 3


@pytest.mark.parametrize(
    ("source", "kind", "message", "next_step"),
    [
        ({"path": "owner/none"}, ConfigError, "ModelScope has none of that name", "check the name and `hub`"),
        ({"split": "half"}, DataError, "could not be loaded: .*Unknown split", "check the name, `split`"),
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
    assert read() == ["a", "b", "c"] * 2
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
    api.endpoint = "https://modelscope.cn"
    api.get_model_files.return_value = [{"Path": name, "Size": 0} for name in ("config.json", "README.md")]
    assert push(tmp_path, "owner/rows", "modelscope") == "https://modelscope.cn/models/owner/rows"
    api.create_repo.assert_called_once_with("owner/rows", visibility=1, exist_ok=True)
    assert api.upload_folder.call_args.kwargs["folder_path"] == str(tmp_path)
    api.create_repo.side_effect = HubError("401 no token")
    with pytest.raises(TuneserveError, match="401 no token"):
        push(tmp_path, "owner/rows", "modelscope")


def test_a_file_that_modelscope_lists_with_a_way_out_of_the_cache_is_not_written(hub: Hub, tmp_path: Path) -> None:
    names = [f"{tmp_path}/listed.jsonl", "../../../../listed.jsonl", "a/../../../../../listed.jsonl"]
    hub.files |= dict.fromkeys(names, ROWS)
    assert read() == ["a", "b", "c"]
    assert not list(tmp_path.parent.rglob("listed.jsonl"))


def downloaded(folder: Path, monkeypatch: pytest.MonkeyPatch, **files: bytes) -> list[Any]:
    """The rows of a data set with these files; `README` is its card."""
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_bytes(content)
    monkeypatch.setattr("trainer.data.hub.fetch", lambda *asked: folder)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder.parent / "cache")
    return read_source(SourceConfig(path="owner/rows"), seed=1, hub="modelscope", offline=False)


@pytest.mark.parametrize(
    "named",
    [
        "data_files: /etc/hosts", "data_files: file://{mine}", "data_files: '{mine}'", "data_files: ../{mine}",
        "data_files: http://127.0.0.1:1/x.jsonl", "data_dir: ../..", "data_files: zip://x.jsonl::file://{mine}",
    ],
)  # fmt: skip
def test_a_data_set_that_names_files_of_this_machine_or_of_others_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    (tmp_path / "set").mkdir()
    mine = tmp_path / "mine.jsonl"
    mine.write_bytes(ROWS)
    card = f"---\nconfigs:\n- config_name: default\n  {named.format(mine=mine)}\n---\n"
    with pytest.raises(DataError, match=r"as its data, which is none of its files"):
        downloaded(tmp_path / "set", monkeypatch, README_md=card.encode(), train_jsonl=ROWS)


def test_a_card_that_names_files_of_its_own_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = b"---\nconfigs:\n- config_name: default\n  data_files: good.jsonl\n---\n"
    (tmp_path / "set").mkdir()
    rows = downloaded(tmp_path / "set", monkeypatch, README_md=card, good_jsonl=ROWS, other_jsonl=ROWS)
    assert len(rows) == 3


def test_an_image_of_a_row_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = pa.array([{"bytes": None, "path": "/etc/hosts"}], pa.struct({"bytes": pa.binary(), "path": pa.string()}))
    table = pa.table({"instruction": ["1"], "output": ["a"], "scan": scan})
    text = {"dtype": "string", "_type": "Value"}
    features = {"instruction": text, "output": text, "scan": {"_type": "Image"}}
    about = json.dumps({"info": {"features": features}}).encode()
    out = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"huggingface": about}), out)
    (tmp_path / "set").mkdir()
    (row,) = downloaded(tmp_path / "set", monkeypatch, train_parquet=out.getvalue())
    assert row.value["scan"] == {"path": "/etc/hosts"}


def test_messages_that_differ_in_their_keys_are_read_as_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [{"role": "user", "content": "1"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    (tmp_path / "set").mkdir()
    (row,) = downloaded(tmp_path / "set", monkeypatch, train_jsonl=json.dumps({"messages": turns}).encode() + b"\n")
    assert row.value["messages"] == turns


@pytest.mark.parametrize(
    ("card", "columns", "said"),
    [
        ("", b'{"question": "1", "answer": "a"}', "could not be loaded: Couldn't cast question: string"),
        ("---\nconfigs:\n- {config_name: a, data_files: a.jsonl}\n- {config_name: b, data_files: b.jsonl}\n---\n", ROWS,
         r"among the available configs: \['a', 'b'\]"),
    ],
)  # fmt: skip
def test_columns_that_differ_and_a_subset_that_is_not_named_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, card: str, columns: bytes, said: str
) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(DataError, match=said) as error:
        downloaded(tmp_path / "set", monkeypatch, README_md=card.encode(), a_jsonl=ROWS, b_jsonl=columns)
    assert "`subset`" in error.value.next_step
