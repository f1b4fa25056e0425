"""The files of a model or an adapter folder, read as what a stranger made: JSON with its types, safetensors headers.

A folder may come from anywhere, so nothing in it is taken on trust: special files are not opened, sizes are bounded,
and what a key holds is checked here once, so that no later reader meets a list where it needs a number.
"""

from __future__ import annotations

import math
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from configs.disk.files import file_bytes, parse_json
from configs.disk.unfinished import refuse_holes, refuse_pointer
from configs.errors import ConfigError
from configs.model.keys import INDEX, KEYS, ModelKeys

WEIGHTS = ("*.safetensors", "*.bin")
READ = (*WEIGHTS, "*.json", "*.jinja", "*.txt", "*.model")
"""Names of the files that this project or a library opens in a model folder."""

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "vocab.txt", "merges.txt", "tokenizer.model", "spiece.model",
)  # fmt: skip
"""What a tokenizer is made from; where there is no tokenizer.json, from vocabulary and merges."""

QUANTIZED = "hf_quant_config.json"
"""Where NVIDIA's ModelOpt says that weights are quantized, instead of in config.json."""

LARGEST_JSON_BYTES = 256_000_000
LARGEST_HEADER_BYTES = 100_000_000
"""The format's own limit."""
_AGAIN = "copy it from the model again"
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64,
    "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip

_VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model", "*.tiktoken", "tekken.json")
"""Names under which a tokenizer's tokens lie."""
_EIGHT_BITS = {"int": "I8", "float": "F8_E4M3"}
"""Dtype of weights that are rounded to 8 bits, by the type that compressed-tensors calls them."""

_Parsed = TypeVar("_Parsed")


def as_list(ids: int | list[int] | None) -> list[int]:
    """Token ids of a key that holds one, several or none, such as `eos_token_id`."""
    return ids if isinstance(ids, list) else [] if ids is None else [ids]


def read_json(file: Path) -> dict[str, Any]:
    """What a JSON file says; empty where there is no such file.

    Raises:
        ConfigError: it holds no JSON object, or a key that this project reads holds something of another kind.
    """
    if not file.is_file():
        return {}
    found = _parsed(file, _text_bytes(file))
    if not isinstance(found, dict):
        raise ConfigError(f"{file}: no JSON object", f"mend it, or {_AGAIN}")
    keys = KEYS.get(file.name)
    if keys is not None:
        try:
            keys.model_validate(found)
            if isinstance(found.get("text_config"), dict):
                ModelKeys.model_validate(found["text_config"])
        except ValidationError as error:
            problem = error.errors()[0]
            key, said = ".".join(map(str, problem["loc"])), problem["msg"].removeprefix("Value error, ")
            if not key:  # said of the whole file
                raise ConfigError(f"{file}: {said}", f"mend it, or {_AGAIN}") from None
            raise ConfigError(
                f"{file}: `{key}`: {said}, got {_short(problem['input'])}", f"mend it, or {_AGAIN}"
            ) from None
    return found


def read_model_config(folder: Path) -> dict[str, Any]:
    """config.json of a model folder.

    Raises:
        ConfigError: it is missing, or not one of a model.
    """
    file = folder / "config.json"
    if not file.is_file():
        raise ConfigError(f"{folder}: no config.json in it, so this is not a model", "give the folder of a model")
    return read_json(file)


def text_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """What config.json says of the language model, which may have a part of its own beside a vision model's."""
    return {**config, **config.get("text_config", {})}


def context_length(folder: Path) -> int | None:
    """Tokens that a model was made for; None where nothing says it, or its positions are stretched."""
    config = text_config(read_model_config(folder))
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    return None if "factor" in rope else config.get("max_position_embeddings")


def check_model_folder(folder: Path, *, weights: bool = True) -> None:
    """Raises a ConfigError that names the first file of a model folder that is missing, damaged or not a plain file."""
    refuse_special_files(folder)
    if (folder / "adapter_config.json").exists() and not (folder / "config.json").exists():
        step = "merge it into its base: `tuneserve merge --model ADAPTER --save-as FOLDER --format vllm`"
        raise ConfigError(f"{folder}: is an adapter, not a model", step)
    for needed in ("config.json", "tokenizer_config.json"):
        if not (folder / needed).is_file():
            raise ConfigError(f"{folder}: {needed} is missing, so this is not a complete model", "download it again")
    if (folder / "adapter_config.json").exists():
        raise ConfigError(
            f"{folder}: holds an adapter (adapter_config.json) beside a model: libraries would load the base that it "
            "names in the place of this model",
            "move the adapter's files to a folder of their own",
        )
    if (folder / "modules.json").exists():
        raise ConfigError(
            f"{folder}: modules.json makes it a model of sentence-transformers, which vLLM serves for embeddings alone",
            "take a model that was made to answer, or move that file away",
        )
    for name in ("config.json", "tokenizer_config.json", "generation_config.json", "tokenizer.json"):
        read_json(folder / name)
    if weights:
        spans: dict[str, Span] = {}
        files: dict[str, Path] = {}
        for file in weight_files(folder):
            if file.suffix == ".safetensors":
                found = safetensors_spans(file)
                if twice := spans.keys() & found.keys():
                    raise ConfigError(
                        f"{file}: tensor {min(twice)} is in another weight file of {folder}, too",
                        "move away the file that is not this model's, or download it again",
                    )
                refuse_holes(file, {name: span.place for name, span in found.items()})
                spans |= found
                files |= dict.fromkeys(found, file)
        _refuse_other_rounding(folder, spans)
        _refuse_second_head(folder, spans, files)


def _refuse_other_rounding(folder: Path, tensors: Mapping[str, Span]) -> None:
    """Refuses weights of one number format under a config.json of another, which vLLM loads as noise.

    Such a folder comes of half a copy of an export in 8 or 4 bits over another one, or of two downloads into one.
    """
    config = read_json(folder / "config.json")
    dtypes = {span.dtype for span in tensors.values()}
    scaled = [name.removesuffix("_scale") for name in tensors if name.endswith(".weight_scale")]
    said = config.get("quantization_config")
    if said is None:
        rounded = {span.dtype for name, span in tensors.items() if name.endswith(".weight") and _BITS[span.dtype] <= 8}
        # Other tools say it elsewhere.
        elsewhere = (folder / QUANTIZED).exists() or any("quant" in repr(item) for item in config.items())
        if (scaled or rounded) and not elsewhere:
            raise _other_format(folder, "BF16", min(rounded or dtypes))
        return
    groups = said.get("config_groups") if said.get("quant_method") == "compressed-tensors" else None
    every = groups.values() if isinstance(groups, dict) else ()
    formats = [group.get("weights") for group in every if isinstance(group, dict)]
    kinds = [kind for kind in formats if isinstance(kind, dict)]
    eight = [str(kind.get("type")) for kind in kinds if kind.get("num_bits") == 8]
    wanted = {_EIGHT_BITS[kind] for kind in eight if kind in _EIGHT_BITS}
    if kinds and not scaled:
        raise _other_format(folder, min(wanted, default="I4"), min(dtypes, default="?"))
    found = {tensors[name].dtype for name in scaled if name in tensors}
    if wanted and found and not wanted & found:
        raise _other_format(folder, min(wanted), min(found))


def _refuse_second_head(folder: Path, tensors: Mapping[str, Span], files: Mapping[str, Path]) -> None:
    """Refuses an output head of its own under a config.json that ties it to the embedding.

    transformers computes with the head, so that it is what would be trained; vLLM with the embedding.
    """
    config = read_json(folder / "config.json")
    if config.get("tie_word_embeddings", text_config(config).get("tie_word_embeddings")) is not True:
        return
    ends = ("lm_head.weight", "embed_tokens.weight")
    both = [[name for name in tensors if name.endswith(end)] for end in ends]
    if [len(names) for names in both] != [1, 1]:
        return
    if not _same_bytes(*((files[name], tensors[name].place) for (name,) in both)):
        raise ConfigError(
            f"{folder}: config.json says tie_word_embeddings, and {both[0][0]} differs from {both[1][0]}: one library "
            "would compute with the one, another with the other",
            "set tie_word_embeddings to false in config.json where the head was trained, else take the tensor out",
        )


def _same_bytes(*parts: tuple[Path, tuple[int, int]]) -> bool:
    (one, (start, end)), (other, (begin, stop)) = parts
    if end - start != stop - begin:
        return False
    with one.open("rb") as first, other.open("rb") as second:
        first.seek(start)
        second.seek(begin)
        left = end - start
        while left > 0:
            size = min(left, 1 << 24)
            if first.read(size) != second.read(size):
                return False
            left -= size
    return True


def _other_format(folder: Path, said: str, found: str) -> ConfigError:
    return ConfigError(
        f"{folder}: config.json says {said}, and the weights beside it are {found}",
        "make the export again, or put back the files that belong together",
    )


def require_tokenizer(folder: Path) -> None:
    """Raises a ConfigError for a folder without tokens: transformers makes an empty tokenizer of it without a word."""
    if not any(True for pattern in _VOCABULARIES for _ in folder.glob(pattern)):
        raise ConfigError(f"{folder}: no tokenizer in it (tokenizer.json is missing)", "download it again")


def refuse_special_files(folder: Path) -> None:
    """Raises a ConfigError for a pipe, a device, a folder, a broken link or gigabytes under the name of a file to read.

    Whoever opens a pipe waits for ever, a link to a device has no end, and a library reads a text as a whole.
    """
    for file in sorted(f for pattern in (*READ, "additional_chat_templates/*.jinja") for f in folder.glob(pattern)):
        try:
            seen = file.stat()
        except OSError as error:
            raise ConfigError(
                f"{file}: a link that leads nowhere ({error.strerror})", "download the model again"
            ) from error
        if not stat.S_ISREG(seen.st_mode):
            kind = "a folder" if stat.S_ISDIR(seen.st_mode) else "a pipe, a device or a socket"
            raise ConfigError(f"{file}: is {kind}, not a file", "move it away, or download the model again")
        if seen.st_size > LARGEST_JSON_BYTES and not any(file.match(pattern) for pattern in WEIGHTS):
            raise _too_large(file, seen.st_size)


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a model folder, in order: those that its index names, else every one there is.

    Trainer, merge and server read through libraries that each choose for themselves (transformers takes
    `model.safetensors` before an index, vLLM the index, or all files, or `consolidated*`), so that there is no choice.

    Raises:
        ConfigError: there are none, the index names files that are missing or lie elsewhere, all are pickles, or one
            library would read other files than another.
    """
    index, single = folder / INDEX, folder / "model.safetensors"
    others = sorted(file.name for file in folder.glob("consolidated*.safetensors"))
    if index.is_file():
        names = sorted(set(read_json(index)["weight_map"].values()))
        for name in names:
            if name != Path(name).name or not name.endswith(".safetensors"):
                raise ConfigError(
                    f"{index}: names {_short(name)}, which is no safetensors file beside it", f"mend it, or {_AGAIN}"
                )
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise ConfigError(
                f"{folder}: {len(missing)} of {len(names)} weight files are missing, the first is {missing[0]}",
                "download the model again; the files that are there are kept",
            )
        if names != [single.name] and single.is_file():
            raise _two_models(folder, single.name, INDEX)
        if others and others != names:
            raise _two_models(folder, others[0], INDEX)
        return [folder / name for name in names]
    found = sorted(folder.glob("*.safetensors"))
    if single.is_file() and found != [single]:
        raise _two_models(folder, next(file.name for file in found if file != single), single.name)
    if not found:
        pickles = sorted(folder.glob("*.bin"))
        if pickles:
            raise ConfigError(
                f"{folder}: its weights are pickles ({pickles[0].name}), which can run code when they are loaded",
                "take the safetensors version of this model, or load and save it once with transformers elsewhere",
            )
        raise ConfigError(f"{folder}: no weights (*.safetensors) in it", "download the model again")
    if not single.is_file():
        raise ConfigError(
            f"{folder}: {found[0].name} is no name under which every library finds weights without {INDEX}",
            f"download {INDEX}, too; weights in one file are called {single.name}",
        )
    return found


def _two_models(folder: Path, name: str, other: str) -> ConfigError:
    return ConfigError(
        f"{folder}: holds {name} beside {other}: one library would read the one, another the other",
        "move away what is not this model's",
    )


def weight_bytes(folder: Path) -> int:
    """Bytes of all weights that lie in a folder; 0 where there are none."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def safetensors_shapes(file: Path) -> dict[str, list[int]]:
    """Name and shape of every tensor in a safetensors file; empty where there is no such file.

    Raises:
        ConfigError: it has no readable header.
    """
    if not file.is_file():
        return {}
    _, header = _safetensors_header(file)
    return {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}


@dataclass(frozen=True)
class Span:
    """Where a tensor's bytes lie in its file."""

    dtype: str
    """safetensors' name of the dtype."""
    place: tuple[int, int]
    """First byte, and the one behind the last."""


def safetensors_spans(file: Path) -> dict[str, Span]:
    """Name and place of every tensor in a safetensors file; empty where there is no such file.

    Raises:
        ConfigError: it is damaged.
    """
    if not file.is_file():
        return {}
    check_safetensors(file)
    header_bytes, header = _safetensors_header(file)
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    start = 8 + header_bytes
    return {
        name: Span(entry["dtype"], (start + entry["data_offsets"][0], start + entry["data_offsets"][1]))
        for name, entry in tensors.items()
    }


def check_safetensors(file: Path) -> None:
    """Raises a ConfigError where a safetensors file is not as long, or a tensor not as large, as its header says."""
    header_bytes, header = _safetensors_header(file)
    end = 0
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        (begin, stop), bits = entry["data_offsets"], _BITS.get(entry["dtype"])
        if bits is None or (stop - begin) * 8 != math.prod(entry["shape"]) * bits:
            raise _not_a_tensor(file, name, entry)
        end = max(end, stop)
    expected, actual = 8 + header_bytes + end, file.stat().st_size
    if expected != actual:
        raise ConfigError(
            f"{file}: {actual:,} bytes, its header says {expected:,}: the file is damaged or cut short",
            "download it again, or repeat `tuneserve merge RUN --force`",
        )


def _safetensors_header(file: Path) -> tuple[int, dict[str, Any]]:
    """Length in bytes and contents of the header.

    The format: 8 bytes of header length, little endian; the header, JSON; then the tensors, whose `data_offsets` count
    from the end of the header.
    """
    size = file.stat().st_size
    with file.open("rb") as handle:
        raw = handle.read(8)
        refuse_pointer(file, raw)
        header_bytes = struct.unpack("<Q", raw)[0] if len(raw) == 8 else 0
        if not 2 <= header_bytes <= min(size - 8, LARGEST_HEADER_BYTES):
            raise ConfigError(
                f"{file}: not a readable safetensors file: {size:,} bytes, of which its first 8 announce a header of "
                f"{header_bytes:,}",
                "download it again, or merge again",
            )
        header = _parsed(file, handle.read(header_bytes))
    if not isinstance(header, dict) or not all(isinstance(entry, dict) for entry in header.values()):
        raise ConfigError(
            f"{file}: not a readable safetensors file: its header is no JSON object of tensors", "download it again"
        )
    for name, entry in header.items():
        if name != "__metadata__" and not _is_tensor(entry):
            raise _not_a_tensor(file, name, entry)
    return header_bytes, header


def _is_tensor(entry: dict[str, Any]) -> bool:
    """Whether a header's entry has the type of everything that its readers take from it."""
    shape, place = entry.get("shape"), entry.get("data_offsets")
    if not (isinstance(shape, list) and isinstance(place, list) and len(place) == 2):
        return False
    numbers = all(type(number) is int and number >= 0 for number in shape + place)
    return numbers and place[0] <= place[1] and isinstance(entry.get("dtype"), str)


def _not_a_tensor(file: Path, name: str, entry: Any) -> ConfigError:
    return ConfigError(
        f"{file}: not a readable safetensors file: tensor {_short(name)} is described as {_short(entry)}",
        "download it again, or merge again",
    )


def _text_bytes(file: Path) -> bytes:
    size = file.stat().st_size
    if size > LARGEST_JSON_BYTES:
        raise _too_large(file, size)
    return file_bytes(file, LARGEST_JSON_BYTES)


def _too_large(file: Path, size: int) -> ConfigError:
    return ConfigError(f"{file}: {size:,} bytes, far more than such a file holds", _AGAIN)


def _parsed(file: Path, content: bytes) -> Any:
    refuse_pointer(file, content[:64])
    try:
        return parse_json(content.decode("utf-8"))
    except ValueError as error:
        raise ConfigError(f"{file}: not readable as JSON: {error}", f"mend it, or {_AGAIN}") from error


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
