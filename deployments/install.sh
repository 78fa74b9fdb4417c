#!/usr/bin/env bash
# Installs everything into a virtual environment: install.sh [.venv]
#
#   torch, the build that is right for this machine   ->  requirements.lock, by hash  ->  this project, editable
#
# PYTHON           interpreter to make the environment with (default python3.11)
# TORCH_CPU_INDEX  package index that has CPU-only builds of torch, for Linux machines without an NVIDIA GPU
#
# torch stands outside the lock because its right file differs: the one on the package index brings several
# gigabytes of CUDA libraries, which a machine without a GPU must not download. pip's own settings (index, proxy,
# find-links, constraints) are honoured throughout.
set -euo pipefail

venv=${1:-.venv}
python=${PYTHON:-python3.11}
torch_version=2.13.0
torch_cpu_index=${TORCH_CPU_INDEX:-https://download.pytorch.org/whl/cpu}
here=$(cd "$(dirname "$0")/.." && pwd)

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv" || {
    echo "cannot make a virtual environment with $python; install Python 3.11 with its venv module, or set PYTHON" >&2
    exit 2
}
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }
quietly() { pip --quiet --quiet "$@"; }

has_torch() {
    "$venv/bin/python" -c "
from importlib.metadata import version
import sys
sys.exit(version('torch').split('+')[0] != '$torch_version')" 2>/dev/null
}

install_torch() {
    if nvidia-smi -L >/dev/null 2>&1; then
        echo "installing torch $torch_version with CUDA"
        quietly install --no-compile "torch===$torch_version"  # ===: the index's own file, never a local CPU build
    elif [ "$(uname -s)" != Linux ]; then
        echo "installing torch $torch_version"
        quietly install --no-deps --no-compile "torch==$torch_version"
    elif quietly install --no-deps --no-compile --no-index "torch==$torch_version" 2>/dev/null; then
        echo "installed the CPU build of torch $torch_version that pip's find-links hold"
    else
        echo "installing the CPU build of torch $torch_version"
        quietly install --no-deps --no-compile --index-url "$torch_cpu_index" "torch==$torch_version" || {
            echo "no CPU build of torch $torch_version at $torch_cpu_index; set TORCH_CPU_INDEX to an index that has it" >&2
            exit 2
        }
    fi
}

install_lock() {  # one line that counts, instead of a thousand
    local total count=0 line
    total=$(grep -c '^[a-z]' "$here/requirements.lock")
    pip install --progress-bar off --no-deps --no-compile --require-hashes --requirement "$here/requirements.lock" 2>&1 |
        while IFS= read -r line; do
            case $line in
                Collecting*|Requirement\ already*)
                    count=$((count + 1))
                    if [ -t 1 ] || [ $((count % 50)) = 0 ]; then printf '\r  fetched %d of %d packages' "$count" "$total"; fi ;;
                Installing\ collected*) printf '\n  unpacking them, about a minute\n' ;;
                ERROR*|*Expected\ sha256*|*Got\ *) printf '\n%s' "$line" >&2 ;;
            esac
        done
    echo
}

has_torch || install_torch
echo "installing requirements.lock"
install_lock
quietly install --no-deps --no-compile --no-build-isolation --editable "$here"
