#!/usr/bin/env bash
# Make the project's own environment in .venv: `bash scripts/setup.sh [--dev]`. Does nothing when it is up to date.
#
# TUNESERVE_DEVICE=cpu|cuda overrides what nvidia-smi says; PYTHON names the interpreter (3.11 to 3.13).
# pip's own settings (PIP_INDEX_URL, pip.conf, PIP_FIND_LINKS) are honoured, so a mirror works as usual.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[2m[setup]\033[0m %s\n' "$*" >&2; }
die() { printf 'error: %s\n  next: %s\n' "$1" "$2" >&2; exit 1; }

dev=0; [ "${1:-}" = "--dev" ] && dev=1
device=${TUNESERVE_DEVICE:-}
if [ -z "$device" ]; then
  if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep -q GPU; then device=cuda; else device=cpu; fi
fi
[ "$device" = cpu ] || [ "$device" = cuda ] || die "TUNESERVE_DEVICE=$device" "set it to cpu or cuda"

lists=("scripts/requirements/$device.txt")
[ $dev = 1 ] && lists+=("scripts/requirements/dev.txt")
stamp=.venv/.tuneserve-$device-$dev-$(cat "${lists[@]}" pyproject.toml scripts/setup.sh | sha256sum | cut -c1-16)
if [ -e "$stamp" ]; then exit 0; fi
# An environment with the test packages in it serves for running, too.
if [ $dev = 0 ] && compgen -G ".venv/.tuneserve-$device-1-*" >/dev/null; then
  full=.venv/.tuneserve-$device-1-$(cat "scripts/requirements/$device.txt" scripts/requirements/dev.txt pyproject.toml scripts/setup.sh | sha256sum | cut -c1-16)
  if [ -e "$full" ]; then exit 0; fi
fi

python=${PYTHON:-}
if [ -z "$python" ]; then
  for candidate in python3.12 python3.11 python3.13 python3; do
    if command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      # A pinned CPU torch may lie in a local folder for one Python only: prefer the interpreter that it fits.
      if [ "$device" = cpu ] && [ -n "${PIP_FIND_LINKS:-}" ] && compgen -G "$PIP_FIND_LINKS/torch-*cpu*.whl" >/dev/null; then
        tag=$("$candidate" -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
        compgen -G "$PIP_FIND_LINKS/torch-*cpu-$tag-*.whl" >/dev/null || continue
      fi
      python=$candidate; break
    fi
  done
fi
[ -n "$python" ] || die "no Python 3.11, 3.12 or 3.13 found" "install one, or name it: PYTHON=/path/to/python3.12 bash scripts/setup.sh"

started=$SECONDS
say "making .venv with $("$python" --version 2>&1) for $device; about 2 minutes and 4 GB (10 GB with CUDA)"
[ -x .venv/bin/python ] || "$python" -m venv .venv || die "could not make .venv" "on Debian: apt install python3-venv"
rm -f .venv/.tuneserve-*
pip=(.venv/bin/python -m pip --disable-pip-version-check)
if [ "$device" = cpu ]; then
  torch=$(grep -E '^torch==' scripts/requirements/cpu.txt)
  if ! .venv/bin/python -c "import importlib.metadata as m, sys; sys.exit('torch==' + m.version('torch') != '$torch')" 2>/dev/null; then
    # pip finds a CPU build where the user's settings point to one; uv knows PyTorch's own CPU index by name.
    if ! "${pip[@]}" install -q --no-deps "$torch" 2>/dev/null; then
      "${pip[@]}" install -q uv
      .venv/bin/uv pip install -q --python .venv/bin/python --no-deps --torch-backend cpu "${torch%+cpu}" ||
        die "no CPU build of ${torch%+cpu} could be installed" "put its wheel into a folder and set PIP_FIND_LINKS to it"
    fi
  fi
fi
for list in "${lists[@]}"; do
  "${pip[@]}" install -q --no-deps -r <(grep -vE '^torch==.*\+cpu' "$list") ||
    die "pip could not install $list" "read the lines above; behind a slow line try again, pip keeps what it has"
done
"${pip[@]}" install -q --no-deps --no-build-isolation -e .
# docs/clients.md shows a client in JavaScript: where there is Node, the tests run it too.
if [ $dev = 1 ] && command -v npm >/dev/null 2>&1; then
  npm install --silent --no-save --no-audit --no-fund --prefix .venv/node openai@7.57.0 ||
    say "npm could not install openai: the test of the JavaScript client is skipped"
fi
touch "$stamp"
say "ready after $((SECONDS - started)) s"
