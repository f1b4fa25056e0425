#!/usr/bin/env bash
# Make the project's own environment in .venv: `bash scripts/setup.sh [--dev] [--mirror tuna|aliyun]`. Does nothing when it
# is up to date; when it was stopped it goes on where it was. What it does is in scripts/install.py.
#
# In China: --mirror tuna (or TUNESERVE_MIRROR=tuna, which `bash scripts/demo.sh` follows too).
# TUNESERVE_DEVICE=cpu|cuda overrides what nvidia-smi says; PYTHON names the interpreter (3.11 to 3.13).
# pip's own settings (PIP_INDEX_URL, pip.conf, PIP_FIND_LINKS) are honoured, so a mirror works as usual.
set -euo pipefail
CDPATH='' cd "$(dirname "$0")/.."
for python in ${PYTHON:+"$PYTHON"} python3.12 python3.11 python3.13 python3; do
  if command -v "$python" >/dev/null 2>&1 &&
    "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
    exec "$python" -m scripts.install "$@"
  fi
  [ "$python" != "${PYTHON:-}" ] || { printf 'error: PYTHON=%s is no Python 3.11, 3.12 or 3.13\n  next: name another, or none\n' "$PYTHON" >&2; exit 1; }
done
printf 'error: no Python 3.11, 3.12 or 3.13 found\n  next: install one, or name it: PYTHON=/path/to/python3.12 bash scripts/setup.sh\n' >&2
exit 1
