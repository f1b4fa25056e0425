"""A model folder is uploaded as a private repository; a refusal names the token."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
from modelscope.hub.api import HubApi

from configs.errors import ConfigError, TuneserveError
from trainer.export.upload import push


@pytest.fixture
def merged(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def test_push_uploads_the_folder_as_a_private_repository(merged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, Any]] = []
    monkeypatch.setattr(HfApi, "create_repo", lambda self, name, **o: done.append((name, o["private"])) or "address")
    monkeypatch.setattr(HfApi, "upload_folder", lambda self, **o: done.append((o["repo_id"], o["folder_path"])))
    monkeypatch.setattr(HfApi, "model_info", arrived(merged))
    monkeypatch.setattr(HfApi, "list_repo_files", lambda self, name: [".gitattributes"])
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "0")
    with pytest.raises(ConfigError, match=r"README.md is missing"):
        push(merged, "team/shop")
    (merged / "README.md").write_text("# shop\n")
    assert push(merged, "team/shop").endswith("/team/shop")
    assert done == [("team/shop", True), ("team/shop", merged)]
    assert os.environ["HF_HUB_DISABLE_XET"] == "1", "whose chunks would go to other hosts than the named one"


def arrived(folder: Path, but: str = "") -> Any:
    """A repository that has a folder's files."""

    def model_info(self: HfApi, name: str, files_metadata: bool = False) -> Any:
        files = [file for file in folder.iterdir() if file.name != but]
        siblings = [SimpleNamespace(rfilename=file.name, size=file.stat().st_size) for file in files]
        return SimpleNamespace(private=True, siblings=siblings)

    return model_info


def test_a_file_that_the_hub_left_out_is_named(merged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (merged / "README.md").write_text("# shop\n")
    for name, answer in (("create_repo", None), ("upload_folder", None), ("list_repo_files", [])):
        monkeypatch.setattr(HfApi, name, lambda self, *names, answer=answer, **options: answer)
    monkeypatch.setattr(HfApi, "model_info", arrived(merged, but="config.json"))
    with pytest.raises(TuneserveError, match=r"config.json did not arrive"):
        push(merged, "team/shop")


@pytest.mark.parametrize("name", ["shop", "team/shop@main", "/shop", "team/shop\n", "团队/店"])
def test_what_is_no_name_of_a_repository_is_refused(merged: Path, name: str) -> None:
    (merged / "README.md").write_text("# shop\n")
    with pytest.raises(ConfigError, match="repository"):
        push(merged, name)


def test_refused_push_names_the_token(merged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: HfApi, name: str, **options: Any) -> None:
        raise OSError("401 Unauthorized\nmore")

    assert issubclass(HfHubHTTPError, OSError), "so that one clause catches refusals and broken networks"
    monkeypatch.setattr(HfApi, "create_repo", refuse)
    (merged / "README.md").write_text("# shop\n")
    with pytest.raises(TuneserveError, match="401 Unauthorized") as error:
        push(merged, "team/shop")
    assert "HF_TOKEN" in error.value.next_step


@pytest.mark.parametrize("hub", ["huggingface", "modelscope"])
def test_nothing_is_pushed_to_where_everybody_can_read_it(
    hub: str, merged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = SimpleNamespace(private=False, visibility=5)
    for api, asked in ((HfApi, "model_info"), (HubApi, "get_repo")):
        monkeypatch.setattr(api, "create_repo", lambda self, name, **options: None)
        monkeypatch.setattr(api, asked, lambda self, name, *kind: there)
        monkeypatch.setattr(api, "upload_folder", lambda *arguments, **options: pytest.fail("uploaded"))
    (merged / "README.md").write_text("# shop\n")
    with pytest.raises(ConfigError, match="team/shop: is there already, and everybody can read it"):
        push(merged, "team/shop", hub)  # type: ignore[arg-type]


@pytest.mark.parametrize("hub", ["huggingface", "modelscope"])
def test_parts_of_the_model_that_was_pushed_before_go(hub: str, merged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ["model.safetensors", "chat_template.jinja", "config.json", "README.md", "notes/config.json", "eval.json"]
    gone: list[list[str]] = []
    monkeypatch.setattr(HfApi, "create_repo", lambda self, name, **options: "address")
    monkeypatch.setattr(HfApi, "model_info", arrived(merged))
    monkeypatch.setattr(HfApi, "list_repo_files", lambda self, name: before)
    monkeypatch.setattr(HfApi, "upload_folder", lambda self, **o: gone.append(o["delete_patterns"]))
    monkeypatch.setattr(HubApi, "create_repo", lambda self, name, **options: None)
    monkeypatch.setattr(HubApi, "get_repo", lambda self, name, kind: SimpleNamespace(private=None, visibility=1))
    both = lambda self, name: [{"Path": file} for file in [*before, *sorted(os.listdir(merged))]]  # noqa: E731
    monkeypatch.setattr(HubApi, "get_model_files", both)
    monkeypatch.setattr(HubApi, "upload_folder", lambda self, name, **options: None)
    monkeypatch.setattr(HubApi, "delete_files", lambda self, name, **o: gone.append(o["file_paths"]))
    (merged / "model-00001-of-00002.safetensors").touch()
    (merged / "README.md").write_text("# shop\n")
    push(merged, "team/shop", hub)  # type: ignore[arg-type]
    assert gone == [["model.safetensors", "chat_template.jinja"]]


class Hub(BaseHTTPRequestHandler):
    """What ModelScope answers to an upload: it keeps what a commit names."""

    holds: dict[str, tuple[str, int]]
    deaf = False

    def do_GET(self) -> None:
        files = [{"Path": name, "Type": "blob", "Size": size} for name, (_, size) in self.holds.items()]
        self.answer({"Files": files} if "/files" in self.path else {"Visibility": 1})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "/commit/" in self.path and not self.deaf:
            self.holds.update({one["path"]: (one["sha256"], one["size"]) for one in asked["actions"]})
        # Whatever is to be stored is there already.
        self.answer({"objects": [{"oid": one["oid"]} for one in asked.get("objects", ())]})

    def answer(self, data: object) -> None:
        body = json.dumps({"Code": 200, "Success": True, "Data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Keeps the test's output quiet."""


def test_what_was_pushed_once_is_pushed_again_and_must_arrive(merged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run may have been pushed there meanwhile, or the repository made anew."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", "ms-token")
    monkeypatch.setattr("modelscope_hub.config._default_config", None)
    (merged / "README.md").write_text("# shop\n")
    (merged / "model.safetensors").write_bytes(b"weights of this run")
    files = sorted(os.listdir(merged))
    for _ in range(2):
        Hub.holds = {"model.safetensors": ("those of another run", 19)}
        assert push(merged, "team/shop", "modelscope") == f"http://127.0.0.1:{server.server_port}/models/team/shop"
        assert Hub.holds["model.safetensors"][0] == hashlib.sha256(b"weights of this run").hexdigest()
        assert sorted(os.listdir(merged)) == files
    Hub.deaf, Hub.holds = True, {}
    with pytest.raises(TuneserveError, match=r"README.md did not arrive"):
        push(merged, "team/shop", "modelscope")
    server.shutdown()
