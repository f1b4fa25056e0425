#!/usr/bin/env bash
# Everything that is checked: lint, types, tests. `bash scripts/test.sh [pytest arguments]`.
# The slow tests run a real trainer and a real vLLM server; `bash scripts/test.sh -m 'not slow'` leaves them out.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh --dev
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
exec .venv/bin/python -m pytest "$@"
