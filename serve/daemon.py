"""The supervisor in the background: `python -m serve.daemon`, with the job and the hand-over on standard input."""

from __future__ import annotations

import sys

from configs.errors import TuneserveError
from serve.service import HANDLE, JOB, run_daemon


def main() -> int:
    """Supervises until SIGTERM; what the user must know stands in the state file."""
    job, handle = sys.stdin.buffer.read().split(b"\n", 1)
    try:
        run_daemon(JOB.validate_json(job), HANDLE.validate_json(handle))
    except KeyboardInterrupt:
        return 0
    except TuneserveError as error:
        print(f"error: {error}", flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
