#!/bin/sh
# Makes the virtual environment unless a usable one is there: sh tools/venv.sh DIRECTORY [PYTHON]
set -eu
venv=$1
wanted=${2:-}

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

recent() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

if [ -x "$venv/bin/python" ] && recent "$venv/bin/python" && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    exit 0
fi

python=
for candidate in ${wanted:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if command -v "$candidate" >/dev/null 2>&1 && recent "$candidate"; then
        python=$candidate
        break
    fi
done

if [ -z "$python" ]; then
    first=${wanted:-python3}
    command -v "$first" >/dev/null 2>&1 ||
        fail "There is no program '$first' here." "Install Python 3.11 or newer, or name one: make setup PYTHON=/path/to/python3"
    fail "'$first' is $("$first" --version 2>&1 || echo 'not a working Python'); the playground needs Python 3.11 or newer." \
        "Name a newer one: make setup PYTHON=/path/to/python3"
fi

"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "'$python' cannot make virtual environments: its module venv or ensurepip is missing." \
        "Install it first (Debian and Ubuntu: apt-get install python3-venv), then run make again."

echo "Making $venv with $("$python" --version)"
"$python" -m venv --clear "$venv" || {
    rm -rf "$venv"
    fail "Making $venv failed: the reason stands above."
}
