"""Throughput and latency of a running server at several concurrencies, measured by vLLM's own `vllm bench serve`."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from configs.cache.folder import private_cache
from configs.disk.files import file_bytes, only_a_file, parse_json, write_atomically
from configs.disk.locks import locked
from configs.errors import ConfigError, TuneserveError
from configs.handover.base import as_dataclass
from configs.machine.gpus import Kind
from configs.process.child import die_with
from configs.run.rundir import RunDir
from configs.terminal.charts import chart
from configs.terminal.console import note
from serve.launch.command import installed_device
from serve.state.servers import find_server

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REQUESTS_EACH = 25
"""Requests for each in flight after which a figure does not get better, only later."""

# The `vllm` command does not start on the CPU distribution (see serve.launch.command), so its benchmark is
# called directly.
_CPU_PROGRAM = (
    "from vllm.benchmarks.serve import add_cli_args, main\n"
    "from vllm.utils.argparse_utils import FlexibleArgumentParser\n"
    "parser = FlexibleArgumentParser()\n"
    "add_cli_args(parser)\n"
    "main(parser.parse_args())\n"
)


@dataclass(frozen=True)
class BenchPoint:
    """One concurrency; times in milliseconds."""

    concurrency: int
    """Requests in flight."""
    requests: int
    """Requests that were answered."""
    failed: int
    """Requests that were not."""
    seconds: float
    """Duration of the measurement."""
    requests_per_s: float
    """Answers a second."""
    output_tokens_per_s: float
    """Generated tokens a second, all requests together."""
    ttft_median_ms: float
    """Time to the first token, median."""
    ttft_p99_ms: float
    """Time to the first token, 99th percentile."""
    tpot_median_ms: float
    """Time for each further token, median."""
    tpot_p99_ms: float
    """Time for each further token, 99th percentile."""
    itl_median_ms: float
    """Time between two pieces of a streamed answer, median over all pieces of all answers."""
    itl_p99_ms: float
    """Time between two pieces, 99th percentile."""


@dataclass(frozen=True)
class Load:
    """What a server is asked while it is measured."""

    concurrencies: tuple[int, ...] = (1, 8, 32, 128)
    """Requests in flight, one measurement each."""
    prompts: int = 200
    """Requests of a measurement: at most 25 for each in flight, at least one."""
    input_tokens: int = 512
    """Length of the random prompts."""
    output_tokens: int = 64
    """Length of the answers; the end-of-turn token is ignored, so that every answer has it."""

    def requests(self, concurrency: int) -> int:
        """Requests of one measurement."""
        return max(concurrency, min(self.prompts, REQUESTS_EACH * concurrency))


@dataclass(frozen=True)
class _Written:
    """`bench.json`."""

    model: str
    load: Load
    points: list[BenchPoint]


def bench(which: str | Path | None, load: Load, out: Path | None, console: Console) -> list[BenchPoint]:
    """Measures a server that was started here and prints the table.

    Args:
        which: run directory, model name or port; None takes the only server there is.
        load: what is asked.
        out: folder for the results; by default `report/bench` of the run, or `bench-PORT` here.
        console: where the table goes.
    """
    state = find_server(which)
    run = Path(state.served)
    folder = out or (run / "report" / "bench" if RunDir.is_run(run) else Path(f"bench-{state.port}"))
    tuned = next((name for name in state.names if not name.endswith("-base")), state.names[0])
    model = str(which) if which in state.all_names else tuned
    points = measure(state.root_url, model, Path(state.weights), folder, load, state.api_key)
    console.print(table(points))
    if state.ready_s is not None:
        console.print(
            f"the server was ready after {state.ready_s:.1f} s; `--start --cold` measures cold and warm starts"
        )
    console.print(f"written: {folder / 'bench.png'}, {folder / 'bench.json'}")
    return points


def measure(
    root_url: str,
    model: str,
    tokenizer: Path,
    out: Path,
    load: Load,
    api_key: str | None = None,
    device: Kind | None = None,
) -> list[BenchPoint]:
    """Measures a server and writes `bench.json` and `bench.png` into a folder.

    Args:
        root_url: server, such as `http://127.0.0.1:8000`.
        model: name to ask for.
        tokenizer: folder of its tokenizer.
        out: folder for the results.
        load: what is asked.
        api_key: where the server asks for one.
        device: which vLLM is installed.

    Raises:
        TuneserveError: the benchmark fails, or another one writes into the folder.
        ConfigError: files of somebody else's would be written over.
    """
    with alone(out):
        refuse_others(out)
        points = []
        for concurrency in load.concurrencies:
            settings = {
                "--backend": "openai",
                "--base-url": root_url,
                "--endpoint": "/v1/completions",
                "--model": model,
                "--tokenizer": str(tokenizer),
                "--dataset-name": "random",
                "--random-input-len": str(load.input_tokens),
                "--random-output-len": str(load.output_tokens),
                "--num-prompts": str(load.requests(concurrency)),
                "--max-concurrency": str(concurrency),
                "--seed": "1",
            }
            points.append(vllm_bench(settings, ["--ignore-eos"], out / f"bench-{concurrency}.json", api_key, device))
        found = {"model": model, "load": asdict(load), "points": [asdict(p) for p in points]}
        write_atomically(out / "bench.json", json.dumps(found, indent=2) + "\n")
        draw(points, out / "bench.png", f"{model}, {load.input_tokens} tokens in, {load.output_tokens} out")
    return points


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Makes a folder for results, where it is missing, and holds it; raises a TuneserveError where another one does."""
    out.mkdir(parents=True, exist_ok=True)
    busy = TuneserveError(f"{out}: another measurement is writing there", "wait for it: each would measure both")
    with locked(out, busy):
        yield


def refuse_others(out: Path) -> None:
    """Raises a ConfigError where a folder holds files of somebody else's that are called as ours: bench.json, say."""
    for file in sorted(out.glob("bench*.json")):
        try:
            found = parse_json(file_bytes(file))
        except ValueError:
            found = None
        if not (isinstance(found, dict) and found.keys() & {"points", "completed"}):
            raise ConfigError(
                f"{out}: {file.name} is in it, which is no measurement of ours", "give another --out, or remove it"
            )


def vllm_bench(
    settings: Mapping[str, str],
    flags: Sequence[str],
    result: Path,
    api_key: str | None = None,
    device: Kind | None = None,
) -> BenchPoint:
    """Runs `vllm bench serve` once; its output goes to `bench.log` beside the result.

    Args:
        settings: its options with a value, `--max-concurrency` among them.
        flags: its options without one.
        result: file for its figures.
        api_key: where the server asks for one.
        device: which vLLM is installed.

    Raises:
        TuneserveError: the benchmark fails.
    """
    log = result.parent / "bench.log"
    result.unlink(missing_ok=True)  # no figures of an earlier call are taken for those of this one
    where = {"--result-dir": str(result.parent), "--result-filename": result.name}
    arguments = [part for pair in {**settings, **where}.items() for part in pair]
    env = {
        "TORCHINDUCTOR_CACHE_DIR": str(private_cache("torchinductor")),  # else in the shared temporary folder
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "OPENAI_API_KEY": api_key or "none",
        "no_proxy": "127.0.0.1,localhost",
    }
    command = [*_program(device), *arguments, *flags, "--save-result"]
    with open(log, "a", encoding="utf-8", opener=only_a_file) as handle:
        with_us = functools.partial(die_with, os.getpid())  # else it would ask on beside the next measurement
        code = subprocess.run(
            command, stdout=handle, stderr=subprocess.STDOUT, env=env, preexec_fn=with_us, check=False
        ).returncode
    if code != 0:
        last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-1:]
        raise TuneserveError(
            f"vllm bench serve ended with exit code {code}: {' '.join(last)}", f"see {log} for the whole story"
        )
    return _point(int(settings["--max-concurrency"]), result)


CAPTION = "ms, median (p99): first token, each further token, between streamed pieces"


def table(points: Sequence[BenchPoint], others: Mapping[int, BenchPoint] | None = None, title: str = "") -> Table:
    """The measurements for the terminal; with those of another server at the same load, tokens/s by theirs."""
    shown = Table(box=None, pad_edge=False, caption=CAPTION, caption_justify="left")
    shown.add_column("in flight", justify="right", no_wrap=True)
    shown.add_column("req/s", justify="right", no_wrap=True)
    shown.add_column("tok/s", justify="right", no_wrap=True)
    for name in ("TTFT", "TPOT", "ITL"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("failed", justify="right", no_wrap=True)
    if others:
        shown.add_column(f"/ {title}", justify="right", no_wrap=True)
    for p in points:
        row = [
            str(p.concurrency),
            f"{p.requests_per_s:.2f}",
            f"{p.output_tokens_per_s:,.0f}",
            f"{p.ttft_median_ms:,.0f} ({p.ttft_p99_ms:,.0f})",
            f"{p.tpot_median_ms:.1f} ({p.tpot_p99_ms:.1f})",
            f"{p.itl_median_ms:.1f} ({p.itl_p99_ms:.1f})",
            str(p.failed),
        ]
        if others:
            other = others.get(p.concurrency)
            theirs = other.output_tokens_per_s if other else 0.0  # also where all of its requests failed
            row.append(f"{p.output_tokens_per_s / theirs:.2f}" if theirs else "")
        shown.add_row(*row)
    return shown


def measured_before(file: Path, load: Load) -> dict[int, BenchPoint]:
    """Measurements in a `bench.json` by concurrency; empty where there is none, or its requests were others.

    A damaged one is said: what it is wanted beside has been measured by now.
    """
    if not file.is_file():
        return {}
    try:
        found = as_dataclass(_Written, parse_json(file_bytes(file)))
    except ValueError as error:
        note(f"{file}: damaged, and not compared with: {error}")
        return {}
    same = replace(found.load, concurrencies=load.concurrencies) == load
    return {point.concurrency: point for point in found.points} if same else {}


def draw(points: Sequence[BenchPoint], file: Path, title: str) -> None:
    """Draws throughput and latency over the concurrency into a PNG."""
    with chart(file, 9, 3.6) as figure:
        left, right = figure.subplots(1, 2)
        x = [p.concurrency for p in points]
        left.plot(x, [p.output_tokens_per_s for p in points], marker="o")
        left.set_ylabel("generated tokens/s")
        for label, values in (
            ("first token, median", [p.ttft_median_ms for p in points]),
            ("first token, p99", [p.ttft_p99_ms for p in points]),
            ("each further token, median", [p.tpot_median_ms for p in points]),
        ):
            right.plot(x, values, marker="o", label=label)
        right.set_ylabel("ms")
        right.set_yscale("log")
        right.legend()
        for axes in (left, right):
            _concurrency_axis(axes, x)
        figure.suptitle(title)


def _concurrency_axis(axes: Axes, values: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(values, [str(v) for v in values])
    axes.set_xlabel("requests in flight")
    axes.grid(visible=True, alpha=0.3)


def _program(device: Kind | None) -> list[str]:
    if (device or installed_device()) == "cpu":
        return [sys.executable, "-c", _CPU_PROGRAM]
    return [sys.executable, "-m", "vllm.entrypoints.cli.main", "bench", "serve"]


def _point(concurrency: int, file: Path) -> BenchPoint:
    found = json.loads(file.read_text(encoding="utf-8"))
    return BenchPoint(
        concurrency=concurrency,
        requests=found["completed"],
        failed=found["failed"],
        seconds=found["duration"],
        requests_per_s=found["request_throughput"],
        output_tokens_per_s=found["output_throughput"],
        ttft_median_ms=found["median_ttft_ms"],
        ttft_p99_ms=found["p99_ttft_ms"],
        tpot_median_ms=found["median_tpot_ms"],
        tpot_p99_ms=found["p99_tpot_ms"],
        itl_median_ms=found["median_itl_ms"],
        itl_p99_ms=found["p99_itl_ms"],
    )
