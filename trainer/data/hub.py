"""Data sets by their hub id, with their splits and subsets, through `datasets`.

It fetches from Hugging Face itself, only the files of the split. ModelScope's own `MsDataset` needs packages that are
not here; the files behind it are of the same kinds, so `datasets` reads those once they are fetched.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from configs.errors import DataError, first_line
from configs.network.hub import fetch, stay_with_the_named_hub, stays_offline
from configs.recipe.schema import SourceConfig
from configs.tables import TABLES
from configs.terminal.console import warn

_FILES = [*(f"*{ending}" for ending in TABLES), "README.md"]
_OTHERWISE = "set data.sources[].path to a file or folder"


def load_hub(path: str, source: SourceConfig, hub: str, offline: bool, *, says: bool = True) -> Any:
    """The rows of a hub data set as a `datasets.Dataset`, from the local cache when it is there.

    `says` tells of a file of it that is left out.

    Raises:
        ConfigError: ModelScope has no such data set.
        TuneserveError: it cannot be fetched from ModelScope.
        DataError: Hugging Face does not have it or cannot be reached, or its files cannot be read as rows.
    """
    mirrored = stay_with_the_named_hub()
    from datasets import DownloadConfig, config, load_dataset

    config.HF_UPDATE_DOWNLOAD_COUNTS = False  # a host at Amazon is told what is loaded
    if mirrored:
        config.USE_PARQUET_EXPORT = False  # datasets-server.MIRROR
    offline = stays_offline(offline)
    folder = str(fetch("dataset", path, hub, offline, _FILES, _OTHERWISE)) if hub == "modelscope" else path
    try:
        requests = _no_requests() if offline else nullcontext()
        with requests, _own_files_only(path), _torch_unmentioned(), _of_one_format() as left_out:
            loaded = load_dataset(
                folder, source.subset, split=source.split, download_config=DownloadConfig(local_files_only=offline)
            )
        if left_out and says:
            warn(
                f"{path}: {left_out[0]} is of another format than most of its files, of which alone the rows are read; "
                "to have all, download the data set and give its folder as data.sources[].path"
            )
        return _undecoded(loaded)
    except DataError:
        raise
    # Beside its own errors `datasets` raises what the network, the cache and the readers of all its formats raise.
    except Exception as error:
        uncached = offline and hub == "huggingface" and isinstance(error, OSError)
        raise _hub_error(path, source, hub, error, uncached) from error


def hub_fingerprint(path: str, source: SourceConfig, hub: str, offline: bool) -> str:
    """Changes with the revision of a data set, the split and the subset. Fetches it if it is not here yet."""
    return str(load_hub(path, source, hub, offline, says=False)._fingerprint)


@contextmanager
def _no_requests() -> Iterator[None]:
    """Keeps `datasets` off the network: `local_files_only` alone still asks the hub what the data set looks like."""
    from datasets import config
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE = before


@contextmanager
def _own_files_only(path: str) -> Iterator[None]:
    """Refuses a data set whose README names files of this machine, or of other hosts, as its own.

    `datasets` reads from wherever `data_files` and `data_dir` there lead.
    """
    from datasets import data_files

    resolve = data_files.resolve_pattern

    def checked(pattern: str, base_path: str, *more: Any, **options: Any) -> list[str]:
        parts = [*pattern.split("/"), *base_path.split("/")]
        elsewhere = "://" in pattern or pattern.startswith(("/", "~"))
        if ".." in parts or (elsewhere and not pattern.startswith(base_path)):
            raise DataError(
                f"{path}: the data set names {pattern!r} in {base_path!r} as its data, which is none of its files",
                _OTHERWISE,
            )
        return resolve(pattern, base_path, *more, **options)

    data_files.resolve_pattern = checked
    try:
        yield
    finally:
        data_files.resolve_pattern = resolve


@contextmanager
def _of_one_format() -> Iterator[list[str]]:
    """Gives the files that could be read as rows, and that `datasets` leaves out: it reads one format of a data set."""
    from datasets.data_files import DataFilesList

    own = DataFilesList.filter
    left_out: list[str] = []

    def noted(files: Any, **options: Any) -> Any:
        kept = own(files, **options)
        left_out.extend(PurePosixPath(f).name for f in files if f not in kept and f.lower().endswith(TABLES))
        return kept

    DataFilesList.filter = noted
    try:
        yield left_out
    finally:
        DataFilesList.filter = own


@contextmanager
def _torch_unmentioned() -> Iterator[None]:
    """`datasets` imports torch where its name stands among the modules, as it does in processes that do without it."""
    without = "torch" in sys.modules and sys.modules["torch"] is None
    if without:
        del sys.modules["torch"]
    try:
        yield
    finally:
        if without:
            sys.modules.setdefault("torch", None)  # type: ignore[arg-type]


def _undecoded(loaded: Any) -> Any:
    """The rows with images and sounds as they are stored: decoding one opens whatever file or address its row names."""
    from datasets import Features

    features = {name: _stored(feature) for name, feature in loaded.features.items()}
    return loaded if features == dict(loaded.features) else loaded.cast(Features(features))


def _stored(feature: Any) -> Any:
    if isinstance(feature, dict):
        return {name: _stored(one) for name, one in feature.items()}
    if isinstance(feature, list):
        return [_stored(one) for one in feature]
    # What is stored as JSON opens nothing, and undecoded its messages are texts.
    if getattr(feature, "decode", False) is True and type(feature).__name__ != "Json":
        return replace(feature, decode=False)
    inner = getattr(feature, "feature", None)
    return feature if inner is None else replace(feature, feature=_stored(inner))


def _hub_error(path: str, source: SourceConfig, hub: str, error: Exception, uncached: bool) -> DataError:
    name = "ModelScope" if hub == "modelscope" else "Hugging Face"
    what = f"{path!r} is no local file or folder, and as a data set of {name} (split {source.split!r}"
    what += f", subset {source.subset!r})" if source.subset else ")"
    if uncached:
        return DataError(f"{what} is not in the local cache", "run once without `offline: true` and HF_HUB_OFFLINE")
    next_step = "check the name, `split`, `subset` and the network; in China set `hub: modelscope` or HF_ENDPOINT"
    # While rows are made the cause says which columns differ; which subsets there are stands in a second line.
    cause = error.__cause__ if "generating" in str(error) and error.__cause__ else error
    said = " ".join(str(cause).split())[:300] or first_line(cause)
    return DataError(f"{what} could not be loaded: {said}", next_step)
