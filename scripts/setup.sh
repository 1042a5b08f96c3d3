#!/usr/bin/env bash
# Create the virtual environment in $1 with nextcart, editable, and the extras of the demo and of most tests.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1
python=${PYTHON:-python3.11}

command -v "$python" >/dev/null || python=python3
command -v "$python" >/dev/null || { echo "setup: Python 3.11 is missing: install it (Debian: apt-get install python3)" >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  { echo "setup: $("$python" --version) is too old: install Python 3.11 or newer, or name one with make PYTHON=…" >&2; exit 1; }
# Debian ships Python without what makes environments.
"$python" -c 'import ensurepip' 2>/dev/null || scripts/system-packages.sh python3-venv

# LightGBM's wheel leaves OpenMP to the system.
PATH=$PATH:/sbin ldconfig -p 2>/dev/null | grep -c 'libgomp\.so\.1' >/dev/null || scripts/system-packages.sh libgomp1

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
echo "setup: installing into $venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[client,demo,dev,traces,tune]'
rm -f src/nextcart/kernels/__pycache__/*.nbi src/nextcart/kernels/__pycache__/*.nbc
