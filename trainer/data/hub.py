"""Data sets by their hub id, with their splits and subsets, through `datasets`.

It fetches from Hugging Face itself, only the files of the split. ModelScope's own `MsDataset` needs packages that are
not here; the files behind it are of the same kinds, so `datasets` reads those once they are fetched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from configs.errors import DataError, first_line
from configs.hub import fetch, stay_with_the_named_hub, stays_offline
from configs.schema import SourceConfig
from configs.tables import TABLES

_FILES = [*(f"*{ending}" for ending in TABLES), "README.md"]
_OTHERWISE = "set data.sources[].path to a file or folder"


def load_hub(path: str, source: SourceConfig, hub: str, offline: bool) -> Any:
    """The rows of a hub data set as a `datasets.Dataset`, from the local cache when it is there.

    Raises:
        ConfigError: ModelScope has no such data set.
        TuneserveError: it cannot be fetched from ModelScope.
        DataError: Hugging Face does not have it or cannot be reached, or its files cannot be read as rows.
    """
    stay_with_the_named_hub()
    import httpx
    from datasets import DownloadConfig, load_dataset
    from datasets.exceptions import DatasetsError

    offline = stays_offline(offline)
    folder = str(fetch("dataset", path, hub, offline, _FILES, _OTHERWISE)) if hub == "modelscope" else path
    # `datasets` raises OSErrors for the network and the cache, ValueErrors for unknown splits and subsets, and
    # RuntimeErrors for data sets that are a script.
    try:
        with _no_requests() if offline else nullcontext():
            return load_dataset(
                folder, source.subset, split=source.split, download_config=DownloadConfig(local_files_only=offline)
            )
    except (OSError, ValueError, RuntimeError, DatasetsError, httpx.HTTPError, httpx.InvalidURL) as error:
        uncached = offline and hub == "huggingface" and isinstance(error, OSError)
        raise _hub_error(path, source, hub, error, uncached) from error


def hub_fingerprint(path: str, source: SourceConfig, hub: str, offline: bool) -> str:
    """Changes with the revision of a data set, the split and the subset. Fetches it if it is not here yet."""
    return str(load_hub(path, source, hub, offline)._fingerprint)


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


def _hub_error(path: str, source: SourceConfig, hub: str, error: Exception, uncached: bool) -> DataError:
    name = "ModelScope" if hub == "modelscope" else "Hugging Face"
    what = f"{path!r} is no local file or folder, and as a data set of {name} (split {source.split!r}"
    what += f", subset {source.subset!r})" if source.subset else ")"
    if uncached:
        return DataError(f"{what} is not in the local cache", "run once without `offline: true` and HF_HUB_OFFLINE")
    next_step = "check the name, the split and the network; in China set `hub: modelscope` or HF_ENDPOINT"
    return DataError(f"{what} could not be loaded: {first_line(error)}", next_step)
