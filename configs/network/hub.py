"""From the name of a model or data set to a local folder. Imports no torch.

Hugging Face and ModelScope alike; `HF_ENDPOINT` and both hubs' caches are their clients' own business.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from configs.disk.homes import expanded
from configs.errors import ConfigError, TuneserveError, first_line, without_credentials
from configs.model.files import WEIGHTS, check_model_folder
from configs.network.addresses import http_address, key_in
from configs.network.hub_answers import look_at_answers
from configs.terminal.console import shell, visible

PATTERNS = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.txt", "*.model", "tokenizer*"]
MODELSCOPE_TOKEN = "MODELSCOPE_API_TOKEN"
NO_ROWS = ["configuration.json", "dataset_infos.json"]
"""What a hub keeps beside the tables of a data set."""
NO_COPIES = ["consolidated*"]
"""Weights that some models have a second time, in their makers' own format."""
_STRANGE = ["/*", "../*", "*/../*", "*[\x01-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*"]
"""Names that no repository has; ModelScope's client would write them outside its cache, or send them to a terminal."""


def resolve_model(model: str, hub: str = "huggingface", offline: bool = False, *, weights: bool = True) -> Path:
    """The local folder of a model, downloaded first when `model` is a hub id.

    Args:
        model: a folder, or a hub id such as `Qwen/Qwen3-14B`.
        hub: `huggingface` (honours `HF_ENDPOINT`) or `modelscope`.
        offline: look only into the hub's cache on this machine.
        weights: False leaves the weights of a hub model where they are: configuration and tokenizer are enough to look
            at data and to plan.

    Raises:
        ConfigError: the folder does not exist or holds no model, or the name is neither folder nor hub id.
        TuneserveError: the download failed.
    """
    folder = expanded(model)
    if folder.is_dir():
        check_model_folder(folder)
        return folder.resolve()
    if folder.exists() or folder.is_absolute() or model.startswith((".", "~")) or model.count("/") != 1:
        raise ConfigError(
            f"model {model!r}: no such folder, and not a hub id (owner/name)",
            "set `model` to a folder with config.json and safetensors, or to a hub id such as Qwen/Qwen3-0.6B",
        )
    patterns = PATTERNS if weights else [p for p in PATTERNS if p not in WEIGHTS]
    downloaded = fetch("model", model, hub, offline, patterns, "set `model` to a folder")
    check_model_folder(downloaded, weights=weights)
    return downloaded


def fetch(
    kind: Literal["model", "dataset"], name: str, hub: str, offline: bool, patterns: Sequence[str], otherwise: str
) -> Path:
    """The local folder of a repository's files, from the hub's cache where they are there already.

    Args:
        kind: what the repository holds.
        name: its id, `owner/name`.
        hub: `huggingface` or `modelscope`.
        offline: look only into the cache.
        patterns: which files.
        otherwise: the way without a hub, for the end of an error's next step, e.g. "set `model` to a folder".

    Raises:
        ConfigError: the hub has no such repository.
        TuneserveError: it is not in the cache, or cannot be fetched.
    """
    what = f"{kind.replace('dataset', 'data set')} {name!r}"
    offline = stays_offline(offline)
    client = _modelscope() if hub == "modelscope" else _huggingface()
    wanted = {"allow_patterns": list(patterns), "ignore_patterns": NO_ROWS if kind == "dataset" else NO_COPIES}
    try:
        return Path(client.download(name, repo_type=kind, local_files_only=offline, **wanted))
    except client.failures as error:
        # ModelScope's client passes its own error on as the cause of one of requests'.
        if isinstance(error, client.unknown) or isinstance(error.__cause__, client.unknown):
            raise ConfigError(
                f"{what} is not on this disk, and {client.title} has none of that name, or shows it to nobody "
                "without a token",
                f"check the name and `hub`, set {client.token} where a token is needed, or {otherwise}",
            ) from error
        if offline:
            raise TuneserveError(
                f"{what} is not in the cache of {client.title} on this machine",
                f"fetch it once without `offline: true` and HF_HUB_OFFLINE, or {otherwise}",
            ) from error
        raise TuneserveError(
            f"{what} could not be fetched from {client.title}: {first_line(error)}",
            f"check the network; in China set `hub: modelscope` or HF_ENDPOINT; or {otherwise}",
        ) from error


def stays_offline(offline: bool) -> bool:
    """Whether hubs are not to be asked: by the recipe's word, or by Hugging Face's own variable, for every hub."""
    return offline or os.environ.get("HF_HUB_OFFLINE") == "1"


@dataclass(frozen=True)
class _Client:
    """A hub's own client."""

    title: str
    token: str
    """Variable that holds the user's token."""
    download: Callable[..., str]
    unknown: tuple[type[Exception], ...]
    """Errors that mean a wrong name."""
    failures: tuple[type[Exception], ...]
    """All errors that it raises."""


def stay_with_the_named_hub() -> bool:
    """With a mirror in `HF_ENDPOINT`, looks at what it answers, and turns Xet off: chunks come from other hosts.

    No hub is told what runs here. Its client would ask each for a list of variables of the environment, keep that for a
    day, and tell by every request whether one of them has the value that the list names.

    Call it before anything is fetched from Hugging Face or sent there.

    Returns:
        Whether there is a mirror.

    Raises:
        ConfigError: what the variable holds is no address.
    """
    named = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    host = http_address(named, "HF_ENDPOINT", "https://hf-mirror.com").hostname or ""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    # The client reads its variables once, while it is imported, which may be behind us.
    from huggingface_hub import constants

    constants.HF_HUB_DISABLE_TELEMETRY = True
    if host in ("huggingface.co", "hf.co") or host.endswith((".huggingface.co", ".hf.co")):
        look_at_answers(mirror=False)
        return False
    os.environ["HF_HUB_DISABLE_XET"] = "1"
    constants.HF_HUB_DISABLE_XET = True
    from huggingface_hub.utils import logging as hub_logging

    hub_logging.get_logger()  # which gives it its handler
    show_log_of("huggingface_hub")
    look_at_answers(mirror=True)
    return True


def show_log_of(*clients: str) -> None:
    """Has what these hubs' clients log show names and answers as they are, and addresses without user and password."""
    for handler in (handler for name in clients for handler in logging.getLogger(name).handlers):
        handler.addFilter(_shown)


def _shown(record: logging.LogRecord) -> bool:
    record.msg, record.args = visible(without_credentials(record.getMessage())), None
    return True


def _huggingface() -> _Client:
    stay_with_the_named_hub()
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    unknown = (RepositoryNotFoundError, HFValidationError)
    return _Client("Hugging Face", "HF_TOKEN", huggingface_hub.snapshot_download, unknown, huggingface_failures())


def huggingface_failures() -> tuple[type[Exception], ...]:
    """All errors that Hugging Face's client raises."""
    import httpx

    # A mirror that answers in other words than the hub meets the client in those that are no OSError; a SOCKS proxy
    # without the package for it is an ImportError.
    words = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, ImportError)
    return (*words, httpx.HTTPError, httpx.InvalidURL)


@contextmanager
def _files_asked_for() -> Iterator[set[str]]:
    """Gives the names of the files that ModelScope's client fetches, or finds to be the hub's, within the block."""
    from modelscope_hub._download import DownloadManager

    client: Any = DownloadManager
    own, names = client.download_file, set[str]()

    def noted(manager: Any, **options: Any) -> Any:
        names.add(options["file_path"])
        return own(manager, **options)

    client.download_file = noted
    try:
        yield names
    finally:
        client.download_file = own


def _refuse_left_over(folder: Path, there: set[str], allow_patterns: list[str], ignore_patterns: list[str]) -> None:
    """Refuses a folder of ModelScope's client with files that the hub has no more: it keeps one folder of all versions.

    Raises:
        ConfigError: names them.
    """
    from modelscope_hub._download import _matches_patterns

    names = (str(file.relative_to(folder)) for file in sorted(folder.rglob("*")) if file.is_file())
    left = [
        name
        for name in names
        if name not in there
        and _matches_patterns(name, allow_patterns)
        and not _matches_patterns(name, ignore_patterns)
    ]
    if left:
        shown = ", ".join([*left[:3], *(["…"] if len(left) > 3 else [])])
        raise ConfigError(
            f"{folder}: {shown}: fetched earlier, and gone from ModelScope",
            f"remove it: `{shell('rm', *(folder / name for name in left))}`; then run the same command",
        )


def _modelscope() -> _Client:
    from modelscope.hub import errors
    from modelscope.hub.snapshot_download import snapshot_download

    show_log_of("modelscope", "modelscope_hub")

    def download(
        name: str, allow_patterns: list[str], ignore_patterns: list[str], *, local_files_only: bool, **options: Any
    ) -> str:
        key_in(MODELSCOPE_TOKEN)  # what no header can hold, the client shows in its error
        patterns = {"allow_patterns": allow_patterns, "ignore_patterns": [*ignore_patterns, *_STRANGE]}
        with _files_asked_for() as asked_for:
            folder = Path(snapshot_download(name, local_files_only=local_files_only, **patterns, **options))
        if not local_files_only:
            _refuse_left_over(folder, asked_for, **patterns)
        return str(folder)

    # requests' errors are OSErrors; a broken download is a HubError; the last four are answers of another shape.
    failures = (OSError, ValueError, errors.HubError, LookupError, TypeError, AttributeError, RecursionError)
    return _Client("ModelScope", MODELSCOPE_TOKEN, download, (errors.NotExistError,), failures)
