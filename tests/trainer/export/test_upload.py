"""A model folder is uploaded as a private repository; a refusal names the token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

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
    with pytest.raises(ConfigError, match=r"README.md is missing"):
        push(merged, "team/shop")
    (merged / "README.md").write_text("# shop\n")
    assert push(merged, "team/shop") == "address"
    assert done == [("team/shop", True), ("team/shop", merged)]
    with pytest.raises(ConfigError, match="owner/name"):
        push(merged, "shop")


def test_refused_push_names_the_token(merged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: HfApi, name: str, **options: Any) -> None:
        raise OSError("401 Unauthorized\nmore")

    assert issubclass(HfHubHTTPError, OSError), "so that one clause catches refusals and broken networks"
    monkeypatch.setattr(HfApi, "create_repo", refuse)
    (merged / "README.md").write_text("# shop\n")
    with pytest.raises(TuneserveError, match="401 Unauthorized") as error:
        push(merged, "team/shop")
    assert "HF_TOKEN" in error.value.next_step
