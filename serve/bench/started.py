"""Servers that are started to be measured: how long a cold and a warm start take, then the load, then they are gone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from rich.console import Console

from configs.disk.files import remove_folder, write_atomically
from configs.run.rundir import RunDir
from serve.bench.blank_adapter import write_blank_adapter
from serve.bench.running import BenchPoint, Load, alone, measure, measured_before, refuse_others, table
from serve.launch.command import ServerCommand, flag_value
from serve.launch.job import ServeJob, folder_job, prepare
from serve.launch.ports import free_port_after
from serve.launch.target import folder_target
from serve.process.progress import StartDisplay
from serve.process.server import VllmServer
from serve.service import look_before


@dataclass
class Start:
    """One start of a server."""

    cache: str
    """`cold`: vLLM's compile cache was empty; `warm`: it was left by the start before; `as found`: the user's own."""
    seconds: float = 0.0
    """From the start of the process to the first answer of a chat."""
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds of each phase, as the log tells them apart."""

    def sentence(self) -> str:
        """One sentence for the terminal."""
        parts = ", ".join(f"{phase} {seconds:.0f}" for phase, seconds in self.phases.items() if seconds >= 0.5)
        return f"start, compile cache {self.cache}: ready after {self.seconds:.1f} s ({parts})"


@dataclass(frozen=True)
class Measured:
    """What was found out about one way of serving."""

    starts: list[Start]
    """In order; the last one is the server that was measured."""
    points: list[BenchPoint]
    """One for each concurrency."""
    folder: Path
    """Where `bench.json`, `bench.png` and `starts.json` are."""


def bench_started(
    what: str,
    load: Load,
    out: Path | None,
    console: Console,
    *,
    adapter: bool = False,
    rank: int = 16,
    cold: bool = False,
    overrides: Sequence[str] = (),
    extra: Sequence[str] = (),
) -> Measured:
    """Starts what is to be measured, measures it and stops it; prints starts and table.

    With `adapter` the table has the ratio to the merged weights, where those were measured into the same `out` before.

    Args:
        what: run directory or model folder.
        load: what is asked.
        out: results go to `merged/` or `adapter/` in it; by default `report/bench` of the run, or `bench` here.
        console: where everything goes.
        adapter: base and adapter from one process; a plain folder gets an adapter of zeros.
        rank: rank of that adapter.
        cold: start with an empty compile cache first, and again with what that left.
        overrides: `serve.*` settings.
        extra: arguments for vLLM.

    Raises:
        TuneserveError: it does not start, or the benchmark fails.
    """
    of_run = RunDir.is_run(what)
    parent = out or (Path(what) / "report" / "bench" if of_run else Path("bench"))
    folder = parent / ("adapter" if adapter else "merged")
    private = ["serve.host=127.0.0.1", f"serve.port={free_port_after('127.0.0.1', 8000)}", *overrides]
    with alone(parent), _scratch(parent.resolve() / ".tuneserve-bench") as scratch:
        folder.mkdir(exist_ok=True)
        refuse_others(folder)
        if adapter and not of_run:
            job = _blank_job(what, rank, scratch / "adapter", private, extra)
        else:
            job = prepare(what, adapter=adapter, overrides=private, extra=extra)
        look_before(job, console)
        console.print(job.command.shown(), style="dim", markup=False)
        starts: list[Start] = []
        command = _with_cache(job.command, scratch / "cache") if cold else job.command
        for cache in ("cold", "warm") if cold else ("as found",):
            start = Start(cache)
            with _started(command, folder / "serve.log", job.config.ready_timeout_s, start, console) as server:
                starts.append(start)
                console.print(start.sentence(), markup=False)
                if cache == "cold":
                    continue
                target = job.command.target
                points = measure(command.root_url, target.name, target.weights, folder, load, server.api_key)
    write_atomically(folder / "starts.json", json.dumps([asdict(start) for start in starts], indent=2) + "\n")
    merged = measured_before(parent / "merged" / "bench.json", load) if adapter else {}
    console.print(table(points, merged, "merged"))
    console.print(f"written: {folder}", markup=False)
    return Measured(starts, points, folder)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder that is gone afterwards; what a killed measurement left of it goes before."""
    remove_folder(folder)
    try:
        yield folder
    finally:
        remove_folder(folder)


def _blank_job(what: str, rank: int, folder: Path, overrides: Sequence[str], extra: Sequence[str]) -> ServeJob:
    target = folder_target(what, dummy=flag_value(extra, "--load-format") == "dummy")
    adapter = write_blank_adapter("blank", target.weights, rank, folder)
    return folder_job(replace(target, adapters=(adapter,)), overrides, extra)


def _with_cache(command: ServerCommand, cache: Path) -> ServerCommand:
    """The command with a cache folder of its own: vLLM's, and Triton's, which otherwise stands in the home folder."""
    own = {"VLLM_CACHE_ROOT": str(cache / "vllm"), "TRITON_CACHE_DIR": str(cache / "triton")}
    return replace(command, env={**command.env, **own})


@contextmanager
def _started(
    command: ServerCommand, log: Path, timeout_s: float, start: Start, console: Console
) -> Iterator[VllmServer]:
    display = StartDisplay(console)
    begun: dict[str, float] = {}

    def on_phase(phase: str, elapsed_s: float) -> None:
        begun.setdefault(phase, elapsed_s)
        display.on_phase(phase, elapsed_s)

    server = VllmServer(command, log, timeout_s, on_phase)
    try:
        with display:
            server.__enter__()
        assert server.ready_s is not None
        start.seconds = server.ready_s
        ends = [*list(begun.values())[1:], server.ready_s]
        start.phases = {phase: round(end - at, 2) for (phase, at), end in zip(begun.items(), ends, strict=True)}
        yield server
    finally:
        server.stop()
