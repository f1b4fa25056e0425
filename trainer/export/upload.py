"""The upload of a model folder to Hugging Face or ModelScope."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from configs.errors import ConfigError, TuneserveError, first_line
from configs.network.addresses import key_in
from configs.network.hub import MODELSCOPE_TOKEN, huggingface_failures, show_log_of, stay_with_the_named_hub

Hub = Literal["huggingface", "modelscope"]

_PART = re.compile(
    r"[^/]+\.(safetensors|bin|index\.json)|(chat_template|tokenizer|vocab|merges)[^/]*|[^/]*(config|tokens(_map)?)\.json"
)
"""What libraries read of a model: other shards or a template of an earlier push would pass for parts of it."""


def push(folder: Path, repository: str, hub: Hub = "huggingface", private: bool = True) -> str:
    """Uploads a model folder and returns its address.

    Args:
        folder: a model folder with a README.md.
        repository: `owner/name`; made if it does not exist.
        hub: `huggingface` (token in HF_TOKEN) or `modelscope` (token in MODELSCOPE_API_TOKEN).
        private: whether only the owner sees a repository that is made here.

    Raises:
        ConfigError: the folder is no complete model, the name is no repository's, or everybody can read what is there.
        TuneserveError: the hub refused or could not be reached.
    """
    if repository.count("/") != 1 or repository != repository.strip():
        raise ConfigError(f"repository {repository!r}: not of the form owner/name", "for example my-team/shop-qwen3")
    for needed in ("config.json", "README.md"):
        if not (folder / needed).is_file():
            raise ConfigError(f"{folder}: {needed} is missing", "push the merged folder of a run that has a model card")
    return (_push_modelscope if hub == "modelscope" else _push_huggingface)(folder, repository, private)


def _push_huggingface(folder: Path, repository: str, private: bool) -> str:
    stay_with_the_named_hub()
    from huggingface_hub import HfApi
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise ConfigError(
            f"repository {repository!r}: {first_line(error)}", "for example my-team/shop-qwen3"
        ) from error
    api = HfApi()
    failures: tuple[type[Exception], ...] = (*huggingface_failures(), RuntimeError)
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        if private and not api.model_info(repository).private:
            raise _open_to_all(repository)
        left = [glob.escape(name) for name in _left_over(api.list_repo_files(repository), folder)]
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            commit_message="Upload the merged model",
            delete_patterns=left or None,
        )
        sizes = {one.rfilename: one.size for one in api.model_info(repository, files_metadata=True).siblings or ()}
    except failures as error:
        raise TuneserveError(
            f"{repository}: the upload to Hugging Face failed: {first_line(error)}",
            "set HF_TOKEN to a token that may write there, check the network, and push again",
        ) from error
    _require_arrived(repository, folder, sizes)
    return f"{api.endpoint}/{repository}"


def _push_modelscope(folder: Path, repository: str, private: bool) -> str:
    from modelscope.hub.api import HubApi
    from modelscope.hub.constants import ModelVisibility
    from modelscope.hub.errors import HubError

    show_log_of("modelscope", "modelscope_hub")
    key_in(MODELSCOPE_TOKEN)
    api, visibility = HubApi(), ModelVisibility.PRIVATE if private else ModelVisibility.PUBLIC
    try:
        made = api.create_repo(repository, visibility=visibility, exist_ok=True)
        if made is None:  # it was there
            known = api.get_repo(repository, "model")
            if private and not (known.private or known.visibility == ModelVisibility.PRIVATE):
                raise _open_to_all(repository)
        # Its note of what was sent once would leave that out for ever, whatever the repository holds by now.
        api.upload_folder(
            repository, folder_path=str(folder), commit_message="Upload the merged model", use_cache=False
        )
        sizes = {str(file["Path"]): file.get("Size") or None for file in api.get_model_files(repository)}
        if left := _left_over(sizes, folder):
            api.delete_files(repository, file_paths=left, commit_message="Upload the merged model")
    except (HubError, OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise TuneserveError(
            f"{repository}: the upload to ModelScope failed: {first_line(error)}",
            "set MODELSCOPE_API_TOKEN to a token that may write there, check the network, and push again",
        ) from error
    _require_arrived(repository, folder, sizes)
    return f"{str(api.endpoint).rstrip('/')}/models/{repository}"


def _require_arrived(repository: str, folder: Path, sizes: Mapping[str, int | None]) -> None:
    """Raises a TuneserveError for a file that a hub left out, as by the repository's .gitignore, or has otherwise."""
    for file in sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")):
        if file.name not in sizes or sizes[file.name] not in (None, file.stat().st_size):  # not every hub tells sizes
            raise TuneserveError(
                f"{repository}: {file.name} did not arrive as it is here",
                "take the repository's .gitignore away and push again, or push to another repository",
            )


def _left_over(names: Iterable[str], folder: Path) -> list[str]:
    """Files of an earlier model in the repository that this one does not have."""
    return [name for name in names if _PART.fullmatch(name) and not (folder / name).is_file()]


def _open_to_all(repository: str) -> ConfigError:
    return ConfigError(
        f"{repository}: is there already, and everybody can read it",
        "make it private on the hub's page, or push to another name",
    )
