"""Runs a real supervisor over the fake vLLM in a process of its own, so that tests can kill either of them.

python -m tests.serve.process.supervise_fake LOG PORT MARKER [fake_vllm flags...]
"""

from __future__ import annotations

import sys
from pathlib import Path

from configs.errors import TuneserveError
from serve.process.supervisor import Supervisor, stop_on_signals
from tests.serve.fakes import fake_command


def main() -> int:
    log, port, marker, *flags = sys.argv[1:]
    supervisor = Supervisor(fake_command(int(port), marker, *flags), Path(log).parent, Path(log), max_restarts=0)
    with stop_on_signals(supervisor):
        try:
            server = supervisor.start()
            print(f"ready {server.pid}", flush=True)
            supervisor.watch(server)
        except KeyboardInterrupt:
            return 0
        except TuneserveError as error:
            print(f"error: {error}", flush=True)
            return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
