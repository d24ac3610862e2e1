#!/usr/bin/env bash
# Set up .venv: `base` for playing and measuring, `full` for training and development too.
# `constraints` resolves constraints.txt anew. Installs with uv; where uv is missing it is fetched with pip for this
# one run. Without uv, pip itself can serve the base install only: torch and torchvision have to be resolved together.
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=.venv
PYTHON=${PYTHON:-python3}
UV=()
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT

find_uv() {
    if command -v uv >/dev/null && uv --version >/dev/null 2>&1; then
        UV=(uv)
    elif "$PYTHON" -m uv --version >/dev/null 2>&1; then
        UV=("$PYTHON" -m uv)
    elif { "$PYTHON" -m venv "$SCRATCH/venv" && "$SCRATCH/venv/bin/python" -m pip install --quiet uv; } >/dev/null 2>&1; then
        UV=("$SCRATCH/venv/bin/uv") # a venv works where the system's own Python refuses to be installed into
    elif "$PYTHON" -m pip install --quiet --target "$SCRATCH/uv" uv >/dev/null 2>&1; then
        UV=("$SCRATCH/uv/bin/uv")
    else
        return 1
    fi
}

healthy() {
    "$VENV/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

make_venv() {
    healthy && return
    rm -rf "$VENV" # absent, too old, or left behind by a Python that is gone
    if ((${#UV[@]})); then
        "${UV[@]}" venv --quiet --python '>=3.11' "$VENV"
    else
        "$PYTHON" -m venv "$VENV" || fail "$PYTHON cannot make a virtual environment; on Debian: apt install python3-venv"
    fi
    healthy || fail "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.11 ..."
}

install() { # what to install, as pip names it
    echo "pushjepa: installing $1 into $VENV"
    if ((${#UV[@]})); then
        "${UV[@]}" pip install --quiet --python "$VENV/bin/python" --constraint constraints.txt --editable "$1"
    else
        "$VENV/bin/python" -m pip install --quiet --no-compile --constraint constraints.txt --editable "$1"
    fi
}

fail() {
    echo "setup: $1" >&2
    exit 1
}

case "${1:-}" in
base)
    find_uv || echo "pushjepa: uv is not to be had, using pip"
    make_venv
    install .
    ;;
full)
    find_uv || fail "the extras need uv and it could not be installed; see the uv installation guide, then run make again"
    make_venv
    install '.[train,pusht,dev]'
    ;;
constraints)
    find_uv || fail "resolving the constraints needs uv"
    "${UV[@]}" pip compile --quiet --universal --upgrade --python-version 3.11 --extra train --extra pusht --extra dev \
        --no-header --no-annotate --no-emit-index-url --output-file "$SCRATCH/constraints.txt" pyproject.toml
    { echo "# Exact versions of everything installed with '.[train,pusht,dev]'. Made by: make constraints"
        cat "$SCRATCH/constraints.txt"; } >constraints.txt
    ;;
*) fail "usage: tools/setup.sh base|full|constraints" ;;
esac
