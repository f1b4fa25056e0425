#!/usr/bin/env bash
# What only a GPU can show: `bash scripts/test_gpu.sh [MODEL] [pytest arguments]`; under ten minutes on one H100.
# MODEL is a folder with a small chat model (0.5B to 1.5B); without it what needs real weights is skipped.
set -euo pipefail
CDPATH='' cd "$(dirname "$0")/.."
if [ -d "${1:-}" ]; then TUNESERVE_GPU_MODEL=$(cd "$1" && pwd); export TUNESERVE_GPU_MODEL; shift; fi
python=${TUNESERVE_PYTHON:-}
if [ -z "$python" ]; then bash scripts/setup.sh --dev; python=.venv/bin/python; fi
# Seven processes: most of the time goes into imports, and seven tests serve the demo's run once it is there; what they wait
# for it does not count against their time. A process that is done takes tests from one that is not.
mapfile -t files < <(find tests -name test_on_gpu.py | sort)
exec "$python" -m pytest -m gpu -n 7 --dist worksteal --timeout 420 -o timeout_func_only=true "${files[@]}" "$@"
