"""The supervisor in the background: `python -m serve.daemon`, told by standard input what to do and go on from."""

from __future__ import annotations

import sys

from configs.errors import EXIT_FAILED, TuneserveError
from serve.service import FROM, JOB, run_daemon


def main() -> int:
    """Supervises until SIGTERM; what the user must know stands in the state file."""
    job, start_from = sys.stdin.buffer.read().split(b"\n", 1)
    try:
        run_daemon(JOB.validate_json(job), FROM.validate_json(start_from))
    except KeyboardInterrupt:
        return 0
    except TuneserveError as error:
        print(f"error: {error}", flush=True)
        return error.exit_code
    except OSError as error:  # a full disk, a state folder that cannot be written
        print(f"error: {error}", flush=True)
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
