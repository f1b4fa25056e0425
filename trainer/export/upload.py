"""The upload of a model folder to Hugging Face or ModelScope."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from configs.errors import ConfigError, TuneserveError, first_line

Hub = Literal["huggingface", "modelscope"]


def push(folder: Path, repository: str, hub: Hub = "huggingface", private: bool = True) -> str:
    """Uploads a model folder and returns its address.

    Args:
        folder: a model folder with a README.md.
        repository: `owner/name`; made if it does not exist.
        hub: `huggingface` (token in HF_TOKEN) or `modelscope` (token in MODELSCOPE_API_TOKEN).
        private: whether only the owner sees a repository that is made here.

    Raises:
        ConfigError: the folder is no complete model, or the name is no repository's.
        TuneserveError: the hub refused or could not be reached.
    """
    if repository.count("/") != 1:
        raise ConfigError(f"repository {repository!r}: not of the form owner/name", "for example my-team/shop-qwen3")
    for needed in ("config.json", "README.md"):
        if not (folder / needed).is_file():
            raise ConfigError(f"{folder}: {needed} is missing", "push the merged folder of a run that has a model card")
    return (_push_modelscope if hub == "modelscope" else _push_huggingface)(folder, repository, private)


def _push_huggingface(folder: Path, repository: str, private: bool) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi()
    try:
        address = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Upload the merged model")
    except (HfHubHTTPError, OSError) as error:
        raise TuneserveError(
            f"{repository}: the upload to Hugging Face failed: {first_line(error)}",
            "set HF_TOKEN to a token that may write there, check the network, and push again",
        ) from error
    return str(address)


def _push_modelscope(folder: Path, repository: str, private: bool) -> str:
    from modelscope.hub.api import HubApi
    from modelscope.hub.constants import ModelVisibility
    from modelscope.hub.errors import HubError

    api, visibility = HubApi(), ModelVisibility.PRIVATE if private else ModelVisibility.PUBLIC
    try:
        api.create_repo(repository, visibility=visibility, exist_ok=True)
        api.upload_folder(repository, folder_path=str(folder), commit_message="Upload the merged model")
    except (HubError, OSError, ValueError) as error:
        raise TuneserveError(
            f"{repository}: the upload to ModelScope failed: {first_line(error)}",
            "set MODELSCOPE_API_TOKEN to a token that may write there, check the network, and push again",
        ) from error
    return f"https://modelscope.cn/models/{repository}"
