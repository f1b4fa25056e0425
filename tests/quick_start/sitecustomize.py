"""Has processes under test start quickly: imports are most of the time that tests take.

Python imports this by itself where its folder stands on PYTHONPATH, in child processes too; in a server it comes behind
the guardian's tether, which ties what is forked as well. Where `AS_EVER` is set everything starts as it does for users.

- Garbage is looked for less often: a sixth of the time that vLLM's import takes, and there is none.
- A vLLM server forks its engine, which then has the imports behind it: half of what its start takes.
"""

import gc
import os
import sys

AS_EVER = "TUNESERVE_TEST_STARTS_AS_EVER"
RARELY = (50_000, 20, 20)
"""Thresholds of the collector."""

if AS_EVER not in os.environ:
    gc.set_threshold(*RARELY)
    if "vllm.entrypoints.openai.api_server" in sys.orig_argv:
        import multiprocessing

        _context_of = multiprocessing.get_context
        multiprocessing.get_context = lambda method=None: _context_of("fork" if method == "spawn" else method)
