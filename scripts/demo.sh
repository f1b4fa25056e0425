#!/usr/bin/env bash
# The whole way on this machine, with everything embedded: train, merge, prove, compare, report, serve.
# `bash scripts/demo.sh` leaves the tuned model running until Ctrl-C; further arguments go to `tuneserve run`
# (`--no-serve`, `--detach`, `train.epochs=1`, ...).
set -euo pipefail
CDPATH='' cd "$(dirname "$0")/.."
bash scripts/setup.sh
exec .venv/bin/python -m scripts run configs/demo.yaml "$@"
