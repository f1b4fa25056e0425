"""The phases of a start on a GPU, in vLLM 0.32's own words; those of the CPU come from the real server."""

from pathlib import Path

import pytest

from serve.process.phases import PhaseReader

COLD = (
    ("importing", "[model.py:2152] Using max model len 40960\n"),
    ("engine", "(EngineCore pid=812) INFO 11-24 09:12:01 [core.py:133] Initializing a V1 LLM engine (v0.32.0)\n"),
    ("weights", "[gpu_model_runner.py:5039] Starting to load model /m...\n"),
    ("compilation", "[backends.py:1166] Dynamo bytecode transform time: 6.21 s\n"),
    ("KV cache", "[gpu_worker.py:759] Available KV cache memory: 38.02 GiB\n"),
    # A progress bar ends its line only when it is full.
    ("CUDA graphs", "\rCapturing CUDA graphs (mixed prefill-decode, PIECEWISE):   2%|▏         | 1/51 [00:00<00:14]"),
    ("HTTP server", "\n[entry.py:140] Starting vLLM server on http://127.0.0.1:8000\n"),
)
WARM = (  # with vLLM's second GPU runner
    ("weights", "[model_runner.py:392] Loading model from scratch...\n"),
    (
        "compilation",
        "[backends.py:295] Directly load the compiled graph(s) for compile range\n",
    ),
    ("KV cache", "[kv_cache_utils.py:2327] GPU KV cache size: 249,152 tokens\n"),
)


@pytest.mark.parametrize("start", [COLD, WARM])
def test_a_start_on_a_gpu_goes_through_its_phases(start: tuple[tuple[str, str], ...], tmp_path: Path):
    log = tmp_path / "serve.log"
    log.write_text(COLD[-1][1])  # of an earlier start
    reader = PhaseReader(log, log.stat().st_size)
    for phase, added in start:
        for half in (added[: len(added) // 2], added[len(added) // 2 :]):  # a read may end within a line
            with log.open("a") as handle:
                handle.write(half)
            seen = reader.phase()
        assert seen == phase
