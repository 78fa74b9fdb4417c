#!/usr/bin/env bash
# Installs everything into a virtual environment: install.sh [.venv]
#
#   torch, the build that is right for this machine   ->  requirements.lock, by hash  ->  this project, editable
#
# PYTHON           interpreter to make the environment with (default python3.11)
# TORCH_CPU_INDEX  package index that has CPU-only builds of torch, for Linux machines without an NVIDIA GPU; asked when
#                  neither pip's find-links nor its own index (a company's mirror, a caching proxy) have one
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

stop() { echo "$1" >&2; exit 2; }
is_311() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; }

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then  # none, or one that was interrupted: made (again)
    is_311 "$python" || stop "$python is not Python 3.11; install Python 3.11 with its venv module, or set PYTHON to one"
    "$python" -m venv "$venv" && "$venv/bin/python" -m pip --version >/dev/null ||
        stop "cannot make a virtual environment with $python; install its venv module (on Debian python3.11-venv), or set PYTHON"
fi
is_311 "$venv/bin/python" || stop "$venv was made with another Python than 3.11; remove it and start again"
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
    elif quietly install --no-deps --no-compile "torch==$torch_version+cpu" 2>/dev/null; then
        echo "installed the CPU build of torch $torch_version that pip's index holds"
    else
        echo "installing the CPU build of torch $torch_version"
        quietly install --no-deps --no-compile --index-url "$torch_cpu_index" "torch==$torch_version" ||
            stop "no CPU build of torch $torch_version at $torch_cpu_index; set TORCH_CPU_INDEX to an index that has it"
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
# Byte code, once and by all cores: else the first run makes it, every process of it its own. A package may hold files that
# are not Python, templates for one.
echo "compiling the packages"
"$venv/bin/python" -m compileall -q -j 0 "$venv/lib/python3.11/site-packages" >/dev/null 2>&1 || true
