"""From a model's name to a local folder, and to hashes that identify what is in it. Imports no torch."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from configs.errors import ConfigError, TuneserveError, first_line

WEIGHTS = ("*.safetensors", "*.bin")
PATTERNS = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.txt", "*.model", "tokenizer*"]


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
    folder = Path(model).expanduser()
    if folder.is_dir():
        check_model_folder(folder)
        return folder.resolve()
    if folder.is_absolute() or model.startswith((".", "~")) or model.count("/") != 1:
        raise ConfigError(
            f"model {model!r}: no such folder, and not a hub id (owner/name)",
            "set `model` to a folder with config.json and safetensors, or to a hub id such as Qwen/Qwen3-0.6B",
        )
    offline = stays_offline(offline)
    fetch = _from_modelscope if hub == "modelscope" else _from_huggingface
    downloaded = fetch(model, offline, PATTERNS if weights else [p for p in PATTERNS if p not in WEIGHTS])
    check_model_folder(downloaded, weights=weights)
    return downloaded


def stays_offline(offline: bool) -> bool:
    """Whether hubs are not to be asked: by the recipe's word, or by Hugging Face's own variable, for every hub."""
    return offline or os.environ.get("HF_HUB_OFFLINE") == "1"


def check_model_folder(folder: Path, *, weights: bool = True) -> None:
    """Raises a ConfigError that names the first file that a model folder lacks, a shard of the index included."""
    for needed in ("config.json", "tokenizer_config.json"):
        if not (folder / needed).is_file():
            raise ConfigError(f"{folder}: {needed} is missing, so this is not a complete model", "download it again")
    if not weights:
        return
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        missing = [s for s in shards if not (folder / s).is_file()]
        if missing:
            raise ConfigError(
                f"{folder}: {len(missing)} of {len(shards)} weight files are missing, the first is {missing[0]}",
                "download the model again; the files that are there are kept",
            )
    elif not weight_files(folder):
        raise ConfigError(f"{folder}: no weights (*.safetensors) in it", "download the model again")


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a model folder, in order."""
    return sorted(f for pattern in WEIGHTS for f in folder.glob(pattern))


def weights_fingerprint(folder: Path) -> str:
    """A hash that tells two sets of weights apart in well under a second, whatever their size.

    Names, sizes, and the first and last MiB of every weight file (the first holds safetensors' header with all shapes).
    """
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for file in weight_files(folder):
        size = file.stat().st_size
        digest.update(f"{file.name} {size}\n".encode())
        with file.open("rb") as handle:
            digest.update(handle.read(1 << 20))
            handle.seek(max(0, size - (1 << 20)))
            digest.update(handle.read())
    return digest.hexdigest()


def files_fingerprint(files: list[Path]) -> str:
    """SHA-256 over names and contents of files, in the order given."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _from_huggingface(model: str, offline: bool, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, local_files_only=offline, allow_patterns=patterns))
    except LocalEntryNotFoundError as error:
        why = "is not in the local cache" if offline else "could not be reached on the hub"
        raise TuneserveError(
            f"model {model!r} {why}",
            "check the name and the network; in China set `hub: modelscope` or HF_ENDPOINT; or set `model` to a folder",
        ) from error
    except (HfHubHTTPError, HFValidationError) as error:
        raise TuneserveError(
            f"model {model!r} could not be downloaded: {first_line(error)}",
            "check the name; gated models need a token in HF_TOKEN",
        ) from error


def _from_modelscope(model: str, offline: bool, patterns: list[str]) -> Path:
    from modelscope import snapshot_download
    from modelscope.hub.errors import HubError

    try:
        return Path(snapshot_download(model, local_files_only=offline, allow_file_pattern=patterns))
    # requests' errors are OSErrors, a name that does not exist among them; a broken download is a HubError.
    except (OSError, ValueError, HubError) as error:
        if offline:
            raise TuneserveError(
                f"model {model!r} is not in the local cache of ModelScope",
                "run once without `offline: true` and HF_HUB_OFFLINE, or set `model` to a folder",
            ) from error
        raise TuneserveError(
            f"model {model!r} could not be fetched from ModelScope: {first_line(error)}",
            "check the name and the network, or set `model` to a folder",
        ) from error
