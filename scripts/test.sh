#!/usr/bin/env bash
# Runs the tests. Sets up a fresh machine by itself, and builds the open face model once.
#   scripts/test.sh                   the quick tests, those that continuous integration runs
#   scripts/test.sh -m "not gpu"      with the slow ones; arguments go to pytest, paths are relative to the checkout
#   scripts/test.sh -n 0 --pdb        in one process, which pytest's debugger needs
# Each core, up to four, has a process of tests of its own; a file's tests stay together, since they share fixtures.
set -euo pipefail

# shellcheck source=scripts/environment.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"
find_python tests
cd "$root"
cores="$(env -u OMP_NUM_THREADS nproc)"  # nproc obeys that variable
# The data set's bytes are those of one thread of BLAS, as anifacegan dataset sets it; tests call it in-process.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"  # test this checkout, whichever one is installed
"$python" -m anifacegan.cli face-model

if ! command -v chromium chromium-browser google-chrome > /dev/null; then
    say "the slow tests of web pages will be skipped; for them: apt-get install chromium, and pip install playwright"
fi
if ! command -v firefox-esr firefox > /dev/null || ! command -v Xvfb > /dev/null; then
    say "the slow tests of web pages in Firefox will be skipped; for them: apt-get install firefox-esr xvfb libpci3 libgl1"
fi
if ! command -v node > /dev/null || ! command -v blender > /dev/null; then
    say "tests of heads in other programs may be skipped; for them: apt-get install nodejs npm blender python3-numpy, npm install -g gltf-validator three"
fi
if [ $# -eq 0 ]; then
    set -- -m "not slow and not gpu" --durations=10
fi
exec "$python" -m pytest -n $((cores < 4 ? cores : 4)) --dist loadscope "$@"
