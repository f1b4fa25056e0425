#!/usr/bin/env bash
# Resolve scripts/requirements/*.txt anew from pyproject.toml. Run it after changing a dependency; needs uv.
# KEEP=1 leaves every version as it is pinned and adds what is new: what was measured stays what is installed.
#
# Two things do not resolve by themselves (docs/install.md says why): unsloth asks for a newer certifi than there is
# everywhere, and packages that no text model imports are left out, since their builds break beside another torch.
set -euo pipefail
cd "$(dirname "$0")/requirements"
root=../..
certifi=${CERTIFI:-2026.10.18}
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
pins() { grep -E '^[A-Za-z0-9]' "$1" | sed 's/ *#.*//'; }

resolve() { # resolve EXTRAS OVERRIDES... > list
  local extras=() extra
  : > "$work/kept.txt"
  for extra in $1; do
    extras+=(--extra "$extra")
    [ -z "${KEEP:-}" ] || pins "$extra.txt" >> "$work/kept.txt"
  done
  shift
  printf '%s\n' "certifi==$certifi" "$@" > "$work/overrides.txt"
  uv pip compile -q "$root/pyproject.toml" "${extras[@]}" --override "$work/overrides.txt" \
    --constraint "$work/kept.txt" --python-version 3.11 \
    --python-platform x86_64-manylinux_2_39 --no-annotate | pins /dev/stdin
}

unused() { (cd "$root" && python3 -c "from configs.machine.pins import UNUSED; print('^(' + '|'.join(UNUSED['$1']) + ')==')"); }

# A folder with a CPU build of torch would win over the CUDA build of the same version.
UV_FIND_LINKS= resolve cuda | grep -vE "$(unused cuda)" > "$work/cuda.pins"
resolve cpu "torch==2.13.0+cpu" | grep -vE "$(unused cpu)" > "$work/cpu.pins"
# LangChain and LlamaIndex ask for other versions of these than vLLM does; the tests show that they work with vLLM's.
resolve "cpu dev" "torch==2.13.0+cpu" $(grep -E '^(openai|setuptools)==' "$work/cpu.pins") | grep -vE "$(unused cpu)" | grep -vxFf "$work/cpu.pins" > "$work/dev.pins"

write() { # write FILE TITLE < pins
  { echo "# $2"
    echo "# Written by scripts/lock.sh; installed with --no-deps by scripts/setup.sh. Do not edit by hand."
    cat; } > "$1"
}
write cuda.txt "Everything that trains and serves on a machine with an NVIDIA GPU." < "$work/cuda.pins"
write cpu.txt "Everything that trains and serves on a machine without a GPU; setup.sh finds the CPU build of torch." < "$work/cpu.pins"
write dev.txt "What the tests and the checks need beside cpu.txt or cuda.txt." < "$work/dev.pins"
wc -l ./*.txt
