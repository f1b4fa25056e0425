"""Model names become folders, or errors that say what to do."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import huggingface_hub
import pytest
from aiohttp import web

from configs.errors import ConfigError, TuneserveError
from configs.network.hub import resolve_model
from tests.eval.conftest import serving


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("config.json", "tokenizer_config.json"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    write_safetensors(tmp_path / "model.safetensors")
    return tmp_path


def write_safetensors(file: Path, content: bytes = bytes(16)) -> None:
    """A file of one tensor of bytes."""
    header = json.dumps({"a": {"dtype": "U8", "shape": [len(content)], "data_offsets": [0, len(content)]}}).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + content)


def test_a_complete_folder_is_taken_as_it_is(folder: Path) -> None:
    assert resolve_model(str(folder)) == folder


def test_a_missing_folder_and_a_strange_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "x.gguf").touch()
    for name in (str(tmp_path / "none"), "./none", "qwen3", "a/b/c", "models/x.gguf"):
        with pytest.raises(ConfigError, match="no such folder, and not a hub id"):
            resolve_model(name)


def test_an_incomplete_folder_is_refused_with_the_missing_file(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="no weights"):
        resolve_model(str(folder))
    index = {"weight_map": {"a": "model-00001.safetensors", "b": "model-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    (folder / "model-00001.safetensors").touch()
    with pytest.raises(ConfigError, match=r"1 of 2 weight files are missing, the first is model-00002"):
        resolve_model(str(folder))
    (folder / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"config\.json is missing"):
        resolve_model(str(folder))
    (folder / "adapter_config.json").touch()
    with pytest.raises(ConfigError, match=r"is an adapter, not a model\n.*tuneserve merge --model"):
        resolve_model(str(folder))


def test_offline_an_uncached_hub_id_is_said_to_be_uncached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(TuneserveError, match="not in the cache of Hugging Face"):
        resolve_model("nobody/no-such-model", offline=True)


def test_a_socks_proxy_without_the_package_for_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    huggingface_hub.close_session()
    with pytest.raises(TuneserveError, match="could not be fetched from Hugging Face"):
        resolve_model("nobody/no-such-model")


class Mirror:
    """A hub on this machine with one model, which offers its files through Hugging Face's Xet as well."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.paths = files, []
        self.app = web.Application()
        self.app.router.add_route("*", "/{path:.*}", self._answer)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        sha, sums = "a" * 40, {name: hashlib.sha256(content).hexdigest() for name, content in self.files.items()}
        if request.path.startswith("/api/"):
            entries = [
                {"type": "file", "path": n, "rfilename": n, "size": len(b), "oid": sums[n], "xetHash": sums[n],
                 "lfs": {"oid": sums[n], "sha256": sums[n], "size": len(b), "pointerSize": 100}}
                for n, b in self.files.items()
            ]  # fmt: skip
            model = {"id": "owner/tiny", "modelId": "owner/tiny", "sha": sha, "siblings": entries, "tags": []}
            if "/tree/" not in request.path:
                return web.json_response(model)
            # As a mirror has it that passes on what the hub says.
            more = {"Link": f'<https://huggingface.co{request.path}?cursor=1>; rel="next"'}
            first = "cursor" not in request.query
            return web.json_response(entries[:1] if first else entries[1:], headers=more if first else {})
        name = request.path.rpartition("/")[2]
        if name not in self.files:
            return web.Response(status=404, headers={"X-Error-Code": "EntryNotFound"})
        headers = {
            "ETag": f'"{sums[name]}"', "X-Repo-Commit": sha, "X-Linked-Etag": f'"{sums[name]}"',
            "X-Xet-Hash": sums[name],
            "X-Linked-Size": str(len(self.files[name])),
            "Link": '<https://huggingface.co/api/models/owner/tiny/xet-read-token/main>; rel="xet-auth", '
            f'<https://cas-server.xethub.hf.co/v1/reconstructions/{sums[name]}>; rel="xet-reconstruction-info"',
        }  # fmt: skip
        return web.Response(body=self.files[name], headers=headers)


@pytest.mark.parametrize("kind", ["model", "data set", "judgement"])
def test_with_a_mirror_no_other_host_is_contacted(kind: str, folder: Path) -> None:
    """Every connection that is not to this machine goes to a proxy, which writes it down and refuses it."""
    rows = {"train.jsonl": b'{"a": "b"}'}
    (folder / "tokenizer.json").write_text('{"model": {"type": "BPE"}}', encoding="utf-8")
    model = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    mirror = Mirror({"model": model, "data set": rows, "judgement": model | rows}[kind])
    contacted: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as proxy, serving(mirror) as hub:  # type: ignore[arg-type]

        def record() -> None:
            while True:
                try:
                    connection, _ = proxy.accept()
                except OSError:
                    return
                with connection:
                    contacted.append(connection.recv(4096).partition(b"\r\n")[0])

        threading.Thread(target=record, daemon=True).start()
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        environment = {
            **{name: value for name, value in os.environ.items() if not name.upper().startswith(("HF_", "NO_PROXY"))},
            **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), address),
            "NO_PROXY": "localhost", "no_proxy": "localhost", "HF_HOME": str(folder / "hf"),
            "HF_ENDPOINT": hub.base_url.removesuffix("/v1").replace("127.0.0.1", "localhost"),
        }  # fmt: skip
        code = {
            "model": "import huggingface_hub; from configs.network import hub; hub.resolve_model('owner/tiny')",
            "data set": "from trainer.environment import without_torch; without_torch(); "
            "from configs.recipe.schema import SourceConfig; from trainer.data.hub import load_hub; "
            "assert list(load_hub('owner/tiny', SourceConfig(path='owner/tiny'), 'huggingface', False))",
            "judgement": "import sys; from scripts.cli import main; sys.argv[1:] = ['judge', 'owner/tiny', '--base', "
            f"'owner/tiny', '--data', 'owner/tiny', 'output_dir={folder / 'runs'}']; main()",
        }[kind]
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        proxy.close()
    # What is fetched is no model: it is the look at it that ends a judgement.
    assert done.returncode == (2 if kind == "judgement" else 0), done.stderr
    assert "not in the cache" not in done.stderr
    for name in mirror.files.keys() & {"model.safetensors", "train.jsonl"}:
        assert any(path.endswith(name) for path in mirror.paths)
    assert contacted == []
    assert "/api/agent-harnesses" not in mirror.paths
