"""Adapters of a running server from the command line: looked at, loaded, proved, taken out again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.errors import ConfigError
from configs.model.adapter_weights import refuse_unservable
from configs.model.files import read_json, safetensors_shapes
from configs.model.fingerprint import weights_fingerprint
from configs.model.shape import DecoderShape
from configs.network.addresses import http_address, key_in
from configs.run.rundir import RunDir
from configs.terminal.console import shell
from serve.api.adapters import ServedModel, load_adapter, served_models, unload_adapter
from serve.api.client import ServerClient
from serve.launch.command import flag_number, flag_value, flag_values
from serve.launch.preflight import check_adapter
from serve.launch.target import Adapter, base_folder, read_adapter, run_adapter
from serve.proof.verify import ServedChecks, verify_weights
from serve.state.adapters import being_proved, note_change, path_of_its_own
from serve.state.servers import ServerState, find_server, find_to_change


@dataclass(frozen=True)
class Host:
    """A running server that may take adapters."""

    client: ServerClient
    """Requests to it, with its key."""
    state: ServerState | None = None
    """What is known of a server that was started here; None for any other address."""

    @property
    def argv(self) -> Sequence[str]:
        """Its command line; empty where it is not known."""
        return self.state.argv if self.state else ()


@dataclass(frozen=True)
class Source:
    """Where an adapter comes from."""

    adapter: Adapter
    """The PEFT folder."""
    run: RunDir | None
    """The run that trained it, None for a bare PEFT folder."""

    @property
    def base(self) -> Path | None:
        """Folder of the base that it was trained on; None where the adapter names none that is on this machine."""
        if self.run:
            return base_folder(self.run, self.run.config())
        config = read_json(self.adapter.folder / "adapter_config.json")
        named = Path(config.get("base_model_name_or_path") or "")
        return named if (named / "config.json").is_file() else None


def find_host(which: str | None = None, base_url: str | None = None, to_change: Sequence[str] = ()) -> Host:
    """The server that a user means, by run, folder, port or name, or by its address.

    Args:
        which: None takes the only server there is.
        to_change: what `tuneserve adapters` is to change; nothing where it but looks.
        base_url: any vLLM server, such as `http://10.0.0.1:8000/v1`; its key is TUNESERVE_API_KEY's.

    Raises:
        ConfigError: there is no such server, or it is not ready.
    """
    if base_url:
        if "@" in http_address(base_url).netloc:
            raise ConfigError(
                "--base-url holds a user or password",
                "give one such as http://10.0.0.1:8000/v1; a key goes into TUNESERVE_API_KEY",
            )
        return Host(ServerClient(base_url.rstrip("/").removesuffix("/v1"), key_in("TUNESERVE_API_KEY")))
    command = shell("tuneserve", "adapters", *to_change, "--server")
    state = find_to_change(which, command) if to_change else find_server(which)
    if state.state != "ready":
        raise ConfigError(f"the server on port {state.port} is {state.state}", "wait: `tuneserve serve status`")
    return Host(ServerClient(state.root_url, state.api_key), state)


def find_source(name: str, where: str | Path) -> Source:
    """The adapter of a run directory or of a PEFT folder, under a name.

    Raises:
        ConfigError: there is none, or vLLM cannot serve it beside a base.
    """
    run = RunDir.open(where) if RunDir.is_run(where) else None
    return Source(run_adapter(name, run) if run else read_adapter(name, Path(where)), run)


def load(host: Host, source: Source, check: bool = True) -> ServedChecks | None:
    """Loads an adapter into a running server and proves it there; one that is not what was trained is taken out again.

    Returns:
        What was found out; None without `check`, and for a bare PEFT folder, which has nothing to compare with.

    Raises:
        ConfigError: it does not fit the server, or the server takes none.
        TuneserveError: what is served is not what was trained.
    """
    name = source.adapter.name
    require_fit(host, source)
    path = path_of_its_own(source.adapter.folder)
    if host.state is None:
        return _load_proved(host.client, source, path, check)
    with being_proved(host.state.port, name):
        checks = _load_proved(host.client, source, path, check)
        note_change(host.state.port, name, path)
    return checks


def _load_proved(client: ServerClient, source: Source, path: str, check: bool) -> ServedChecks | None:
    name = source.adapter.name
    load_adapter(client, name, path)
    if not (check and source.run):
        return None
    try:
        checks = verify_weights(source.run, source.run.config(), client, name)
        checks.require()
    except BaseException:
        unload_adapter(client, name)
        raise
    return checks


def unload(host: Host, name: str) -> None:
    """Takes an adapter out of a running server.

    Raises:
        ConfigError: there is no adapter of that name.
    """
    here = {model.name: model for model in served_models(host.client)}
    if name not in here:
        raise ConfigError(f"the server has no {name}; it has {', '.join(here)}", "name one of its adapters")
    if here[name].parent is None:
        raise ConfigError(f"{name} is the server's own model, no adapter", "`tuneserve serve stop` ends the server")
    unload_adapter(host.client, name)
    if host.state:
        note_change(host.state.port, name, None)


def require_fit(host: Host, source: Source) -> None:
    """Looks at everything that would go wrong, before the server is asked.

    vLLM itself compares neither the base nor the thinking mode.

    Raises:
        ConfigError: the name is taken, or base, rank, layers or thinking mode do not fit the server.
    """
    check_adapter(source.adapter)
    models = served_models(host.client)
    if any(model.name == source.adapter.name for model in models):
        raise ConfigError(
            f"the server has a model called {source.adapter.name} already",
            f"choose another name, or `tuneserve adapters unload {source.adapter.name}` first",
        )
    served = next((model for model in models if model.parent is None), None)
    if served is None:
        raise ConfigError("the server lists no base model", "name a vLLM server that serves one")
    _require_same_base(source, served)
    weights = Path(served.folder or "")
    refuse_unservable(source.adapter.folder, weights if (weights / "config.json").is_file() else None)
    if host.argv:
        _require_room(host.argv, source.adapter)
        _require_same_thinking(host.argv, source)


def _require_same_base(source: Source, served: ServedModel) -> None:
    weights, base = Path(served.folder or ""), source.base
    if not (weights / "config.json").is_file():
        return  # on another machine; parity and proof will tell
    if base and base.resolve() != weights.resolve() and weights_fingerprint(base) != weights_fingerprint(weights):
        raise ConfigError(
            f"{source.adapter.folder} was trained on {base}, the server has {weights}",
            "load it into a server of its own base: `tuneserve serve RUN --adapter`",
        )
    model = DecoderShape.load(weights)
    for tensor, shape in safetensors_shapes(source.adapter.folder / "adapter_model.safetensors").items():
        reads_hidden = any(f".{module}.lora_A" in tensor for module in ("q_proj", "k_proj", "v_proj", "gate_proj"))
        layer = tensor.partition(".layers.")[2].partition(".")[0]
        if (reads_hidden and shape[1] != model.hidden) or (layer.isdigit() and int(layer) >= model.layers):
            raise ConfigError(
                f"{source.adapter.folder}: {tensor} of shape {shape} is for another model; "
                f"{weights} has {model.layers} layers of width {model.hidden}",
                "load it into a server of its own base",
            )


def _require_room(argv: Sequence[str], adapter: Adapter) -> None:
    if flag_value(argv, "--enable-lora") is None:
        raise ConfigError(
            "the server was started without adapters, so it takes none",
            "start it with `tuneserve serve RUN --adapter`, or a folder with `-- --enable-lora --max-lora-rank 64`",
        )
    largest = flag_number(argv, "--max-lora-rank", 16)
    if adapter.rank > largest:
        raise ConfigError(
            f"{adapter.folder} has rank {adapter.rank}, the server takes up to {largest}",
            f"start the server with this adapter among `--adapters`, or with `-- --max-lora-rank {adapter.rank}`",
        )
    taken = flag_values(argv, "--lora-target-modules")
    missing = sorted(set(adapter.modules) - set(taken)) if taken else []
    if missing:
        raise ConfigError(
            f"{adapter.folder} adapts {', '.join(missing)}; the server takes {', '.join(taken)} only",
            "start the server with this adapter among `--adapters`",
        )


def _require_same_thinking(argv: Sequence[str], source: Source) -> None:
    manifest = source.run.read() if source.run else None
    if manifest is None or manifest.facts.prepared is None or manifest.facts.prepared.family != "switchable":
        return
    given = flag_value(argv, "--default-chat-template-kwargs")
    served = json.loads(given).get("enable_thinking", True) if given else True
    if served != manifest.thinking:
        words = {True: "on", False: "off"}
        raise ConfigError(
            f"{source.adapter.folder} was trained with thinking {words[manifest.thinking]}, "
            f"the server answers with thinking {words[served]}",
            "start one server for each thinking mode",
        )
