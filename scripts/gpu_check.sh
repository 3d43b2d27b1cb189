#!/usr/bin/env bash
# Everything that the owner of an NVIDIA GPU should run once: about ten minutes, a verdict a line, and a file to send back.
#   scripts/gpu_check.sh               writes gpu_check.txt into the present folder
#   scripts/gpu_check.sh REPORT        writes REPORT
# Exit code: 0 if every line says ok, 1 if one says FAILED, 3 if there is no GPU.
set -euo pipefail
called_from="$PWD"

# shellcheck source=scripts/environment.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"
find_python tests
report="${1:-gpu_check.txt}"
case "$report" in /*) ;; *) report="$called_from/$report" ;; esac
cd "$root"
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"  # check this checkout, whichever one is installed
exec "$python" scripts/gpu_check.py "$report"
