#!/usr/bin/env bash
# Everything that is checked: lint, types, who imports whom, tests. `bash scripts/test.sh [pytest arguments]`; `-n 0` runs them one by one.
# The slow tests run a real trainer and a real vLLM server; `bash scripts/test.sh -m 'not slow'` leaves them out.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh --dev
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/lint-imports --no-cache
# Tests start Python some hundred times; what it compiled once is read again.
unset PYTHONDONTWRITEBYTECODE
# Two processes: most of the time goes into imports of vLLM and Unsloth, which use one core. Threads of torch beside them
# would wait for each other.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec .venv/bin/python -m pytest -n 2 --no-loadscope-reorder "$@"
