#!/usr/bin/env bash
# Everything that is checked: lint, types, who imports whom, tests. `bash scripts/test.sh [pytest arguments]`; `-n 0` runs them one by one.
# The slow tests run a real trainer and a real vLLM server; `bash scripts/test.sh -m 'not slow'` leaves them out.
set -euo pipefail
CDPATH='' cd "$(dirname "$0")/.."
bash scripts/setup.sh --dev
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/python .venv/bin/lint-imports --no-cache
# Types are checked while the tests wait for something: without a cache that takes half a minute.
types=$(mktemp)
trap 'rm -f "$types"' EXIT
setpriv --pdeathsig KILL .venv/bin/python -m mypy >"$types" 2>&1 &
checker=$!
# Tests start Python some hundred times; what it compiled once is read again.
unset PYTHONDONTWRITEBYTECODE
# Three processes for two cores: most of the time goes into imports of vLLM and Unsloth and into models this small, which use
# one core, and a sixth of it into waiting for what ends or comes up. Threads of torch beside them would wait for each other.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
code=0
# However this script ends, the tests end with it.
setpriv --pdeathsig KILL .venv/bin/python -m pytest -n 3 --no-loadscope-reorder "$@" || code=$?
wait "$checker" || code=1
cat "$types"
exit "$code"
