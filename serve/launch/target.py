"""What a server serves: merged weights, a base, a base with adapters, or any model folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from configs.errors import ConfigError
from configs.handover.training import Family
from configs.model.adapter_inits import require_plain_init
from configs.model.adapter_weights import refuse_unservable
from configs.model.files import check_model_folder, read_json, safetensors_shapes
from configs.network.hub import resolve_model
from configs.recipe.names import model_name_from, require_model_name
from configs.recipe.schema import SERVED_LAYERS, SERVED_RANKS, RunConfig
from configs.run.adapter_scale import served_adapter
from configs.run.manifest import Manifest
from configs.run.merged import base_elsewhere, require_base, require_current, require_exported
from configs.run.predecessor import trained_base
from configs.run.rundir import RunDir
from configs.terminal.console import shell
from serve.launch.template import template_traits

REFUSED_FEATURES = {
    "use_dora": "is a DoRA adapter",
    "modules_to_save": "trains whole modules beside it",
    "lora_bias": "has a bias of its own",
    "bias": "has a bias of its own",
    "alora_invocation_tokens": "is an activated one (aLoRA)",
    "layer_replication": "repeats layers of the base",
    "use_bdlora": "is block-diagonal (BD-LoRA)",
    "use_qalora": "is a QALoRA adapter",
}
"""Keys of adapter_config.json that vLLM refuses when they are set (vllm/lora/peft_helper.py)."""

LORA_LAYERS = frozenset(SERVED_LAYERS)
"""Layers in which vLLM can add an adapter."""


@dataclass(frozen=True)
class Adapter:
    """One LoRA adapter beside the base."""

    name: str
    """Model name that clients use for it."""
    folder: Path
    """PEFT folder: adapter_config.json and adapter_model.safetensors."""
    rank: int
    """Largest rank in it."""
    modules: tuple[str, ...] = ()
    """Names of the layers that it adapts; empty where neither its configuration nor its tensors tell."""
    system: str | None = None
    """System prompt of its training, which clients should send too."""

    def __post_init__(self) -> None:
        require_model_name("the adapter's name", self.name)


@dataclass(frozen=True)
class Target:
    """What one vLLM process serves, and what the server's flags follow from.

    Raises:
        ConfigError: one of its names cannot be the name of a model.
    """

    weights: Path
    """Model folder that is loaded."""
    names: tuple[str, ...]
    """Names of those weights, the short one first, then aliases."""
    adapters: tuple[Adapter, ...] = ()
    """Adapters served beside the weights."""
    family: Family = "none"
    """How the chat template treats thinking."""
    thinking: bool | None = None
    """Thinking mode that requests get by default; None leaves it to the template."""
    tool_parser: str | None = None
    """vLLM's tool-call parser for this template."""
    system: str | None = None
    """System prompt of the training, which clients should send too."""

    def __post_init__(self) -> None:
        for name in self.names:
            require_model_name("the model's name", name)

    @property
    def name(self) -> str:
        """The model that clients are meant to use: the first adapter if there is one, else the weights."""
        return self.adapters[0].name if self.adapters else self.names[0]

    @property
    def all_names(self) -> tuple[str, ...]:
        """Every name that `/v1/models` must list."""
        return (*self.names, *(a.name for a in self.adapters))


def merged_target(run: RunDir, config: RunConfig) -> Target:
    """The merged weights of a run, under the run's served name and its aliases.

    Raises:
        ConfigError: the run has no merged weights, or they are not what its adapter gives.
    """
    if not run.merged.is_dir():
        raise ConfigError(
            f"{run.path}: no merged weights in it",
            f"run `{shell('tuneserve', 'merge', run.path)}`, or serve with --adapter",
        )
    # Every byte: the proof reads some answers, which need not meet what was changed, and full training has none.
    require_current(run, contents=True)
    return _target(run, run.merged, (config.served_name, *config.serve.aliases))


def base_target(run: RunDir, config: RunConfig) -> Target:
    """The base model of a run, under `<served name>-base`, with the thinking mode that the run trained."""
    return _target(run, base_folder(run, config), (base_name(config),))


def adapter_target(run: RunDir, config: RunConfig) -> Target:
    """Base and adapter of a run from one process; aliases of the run name the adapter."""
    names = (config.served_name, *config.serve.aliases)
    return adapters_target(dict.fromkeys(names, run), {run: config})


def adapters_target(runs: Mapping[str, RunDir], configs: Mapping[RunDir, RunConfig]) -> Target:
    """Adapters of several runs over their one base.

    Args:
        runs: model name of each adapter to the run that holds it; the first decides the server's settings.
        configs: the recipe of each run.

    Raises:
        ConfigError: a run has no adapter, the runs differ in base or thinking mode, vLLM cannot take an adapter, or one
            is called as the base.
    """
    first = next(iter(runs.values()))
    its_base = base_name(configs[first])
    if its_base in runs:
        raise ConfigError(f"{its_base} is what the base is called beside its adapters", "give the adapter another name")
    adapters = tuple(run_adapter(name, run) for name, run in runs.items())
    base = base_folder(first, configs[first])
    for adapter in adapters:
        refuse_unservable(adapter.folder, base)
    for run in runs.values():
        require_base(run, base_folder(run, configs[run]))
        if (own := base_folder(run, configs[run])) != base:
            raise ConfigError(
                f"{run.path} was trained on {own}, {first.path} on {base}",
                "serve adapters of one base together; start a second server for the other base",
            )
        if run.read().thinking != first.read().thinking:
            raise ConfigError(
                f"{run.path} and {first.path} were trained in different thinking modes",
                "start one server for each thinking mode",
            )
    return _target(first, base, (its_base,), adapters)


def scales_target(run: RunDir, config: RunConfig, folders: Mapping[str, Path]) -> Target:
    """The base of a run and its adapter at several scales, under a name each.

    Args:
        run: the run that trained the adapter.
        config: its recipe.
        folders: model name of each scale to the adapter's folder.

    Raises:
        ConfigError: vLLM cannot take the adapter.
    """
    base = base_folder(run, config)
    refuse_unservable(run.adapter, base)
    adapters = tuple(read_adapter(name, folder) for name, folder in folders.items())
    return _target(run, base, (base_name(config),), adapters)


def folder_target(
    folder: str | Path, name: str | None = None, thinking: bool | None = None, *, dummy: bool = False
) -> Target:
    """Any model folder or hub id, under its folder's name unless told otherwise; a dummy one needs no weights."""
    if dummy and Path(folder).is_dir():
        resolved = Path(folder).resolve()
        check_model_folder(resolved, weights=False)
    else:
        resolved = resolve_model(str(folder))
    traits = template_traits(resolved)
    return Target(
        weights=resolved,
        names=(name or model_name_from(Path(folder).resolve().name if Path(folder).is_dir() else str(folder)),),
        family=traits.family,
        thinking=thinking,
        tool_parser=traits.tool_parser,
    )


def exported_target(run: RunDir, folder: str | Path, name: str | None = None, thinking: bool | None = None) -> Target:
    """A folder that was exported from a run, such as its weights in 8 or 4 bits, in the thinking mode of the run.

    Raises:
        ConfigError: it was exported before the run was trained again.
    """
    manifest = run.read()
    plain = folder_target(folder, name, manifest.thinking if thinking is None else thinking)
    require_exported(plain.weights, run)
    return replace(plain, system=_system(manifest))


def is_rounded(weights: Path) -> bool:
    """Whether a model folder holds weights in fewer than 16 bits."""
    return "quantization_config" in read_json(weights / "config.json")


def base_name(config: RunConfig) -> str:
    """Model name of a run's base."""
    return f"{config.served_name}-base"


def base_folder(run: RunDir, config: RunConfig) -> Path:
    """Local folder of a run's base model."""
    known = run.read().facts.prepared
    if known and known.base_model.is_dir():
        return known.base_model
    try:
        return trained_base(config)
    except ConfigError as error:
        if known:
            error.next_step = f"{error.next_step}; or {base_elsewhere(run)}"
        raise


def origin_name(config: RunConfig) -> str:
    """Model name of what the earlier run of a run that goes on from one was trained on."""
    return f"{config.served_name}-origin"


def origin_target(run: RunDir, config: RunConfig) -> Target:
    """That model, in the thinking mode of the run."""
    return _target(run, resolve_model(config.model, config.hub, config.offline), (origin_name(config),))


def run_adapter(name: str, run: RunDir) -> Adapter:
    """The adapter of a run as it counts, with the system prompt that it was trained with."""
    return replace(read_adapter(name, served_adapter(run)), system=_system(run.read()))


def read_adapter(name: str, folder: Path) -> Adapter:
    """A PEFT adapter as vLLM will see it.

    Raises:
        ConfigError: there is no adapter, or vLLM cannot serve it beside a base (DoRA, PiSSA, rank > 512, ...).
    """
    file = folder / "adapter_config.json"
    if not file.is_file():
        raise ConfigError(f"{folder}: no adapter in it (adapter_config.json is missing)", "name a run or a PEFT folder")
    config = read_json(file)
    for key, what in REFUSED_FEATURES.items():
        if config.get(key) and config[key] != "none":
            raise ConfigError(
                f"{file}: {key} is {config[key]!r}: the adapter {what}, which vLLM refuses beside a base",
                "serve the merged weights: `tuneserve merge RUN`, then `tuneserve serve RUN`",
            )
    require_plain_init(file, config.get("init_lora_weights"))
    if not isinstance(config.get("r"), int):
        raise ConfigError(f"{file}: no rank (`r`) in it", "it is no LoRA adapter of PEFT; name the folder of one")
    rank = max([config["r"], *(config.get("rank_pattern") or {}).values()])
    if rank > SERVED_RANKS[-1]:
        raise ConfigError(
            f"{file}: rank {rank} is above {SERVED_RANKS[-1]}, vLLM's largest", "serve the merged weights instead"
        )
    modules = config.get("target_modules")
    if not isinstance(modules, list):  # a pattern: its tensors tell which layers it met
        tensors = safetensors_shapes(folder / "adapter_model.safetensors")
        modules = {tensor.partition(".lora_")[0].rpartition(".")[2] for tensor in tensors if ".lora_" in tensor}
    return Adapter(name, folder, rank, tuple(sorted(modules)))


def _target(run: RunDir, weights: Path, names: tuple[str, ...], adapters: tuple[Adapter, ...] = ()) -> Target:
    check_model_folder(weights)
    manifest = run.read()
    traits = template_traits(weights)
    return Target(
        weights=weights,
        names=names,
        adapters=adapters,
        family=traits.family,
        thinking=manifest.thinking,
        tool_parser=traits.tool_parser,
        system=_system(manifest),
    )


def _system(manifest: Manifest) -> str | None:
    return manifest.facts.prepared.system if manifest.facts.prepared else None
