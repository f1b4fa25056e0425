#!/usr/bin/env bash
# What docs/tutorial.md does, from a CSV to a decision: `bash scripts/tutorial.sh [FOLDER] [--until check]`.
# Runs in FOLDER, a new one by default, and leaves everything there, also what was there before. TUNESERVE names the command where it is not on the PATH.
set -euo pipefail
here=$(CDPATH='' cd "$(dirname "$0")/.." && pwd)
folder=${1:-"客服 数据"}
tuneserve=("$here/.venv/bin/tuneserve")
[ -z "${TUNESERVE:-}" ] || read -ra tuneserve <<<"$TUNESERVE"

step() { printf '\n$ %s\n' "$*"; }
# However this script ends, the command that it waits for ends with it, in order.
call() { step tuneserve "$@"; setpriv --pdeathsig TERM "${tuneserve[@]}" "$@"; }

mkdir -p -- "$folder"
CDPATH='' cd -- "$folder"
if [ ! -e 客服问答.csv ]; then  # under its name it is whole
  cp "$here/docs/examples/客服问答.csv" .客服问答.csv
  mv .客服问答.csv 客服问答.csv
fi
[ -e kefu.yaml ] || call init tutorial --out kefu.yaml
call check kefu.yaml --rows 1
[ "${2:-} ${3:-}" != "--until check" ] || exit 0
call run kefu.yaml --no-serve
call runs --sort gain
[ -e vote.html ] || call board export runs/tutorial --questions 10 --out vote.html
