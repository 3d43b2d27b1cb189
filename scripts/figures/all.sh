#!/usr/bin/env bash
# Makes every figure of a model into one folder, with an index.html that shows them.
#   scripts/figures/all.sh --model M [--out FOLDER] [--driving FOLDER] [--ablation FILE] [options of all figures]
# Options of all figures: --seeds, --expressions, --size, --psi, --device (python scripts/figures/truncation.py --help).
# Left out, with a line that says so: the mesh without the extra 'figures', the ablation without its results.
set -euo pipefail

# shellcheck source=scripts/environment.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../environment.sh"
find_python rendering
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"

out=runs/figures
ablation=runs/ablation/ablation.json
driving=()
shared=()
while [ $# -gt 0 ]; do
    case "$1" in
        --out | --driving | --ablation)
            if [ $# -lt 2 ]; then
                echo "error: $1: no value given, expected a path" >&2
                exit 2
            fi
            case "$1" in
                --out) out="$2" ;;
                --driving) driving=(--driving "$2") ;;
                --ablation) ablation="$2" ;;
            esac
            shift 2
            ;;
        --out=* | --driving=* | --ablation=*)
            set -- "${1%%=*}" "${1#*=}" "${@:2}"
            ;;
        *)
            shared+=("$1")
            shift
            ;;
    esac
done

figure() {
    "$python" "$root/scripts/figures/$1.py" --out "$out" "${@:2}"
}

for name in expression_views identities expressions interpolation disentanglement truncation deformation manifolds \
    depth_normals; do
    figure "$name" "${shared[@]}"
done
if "$python" -c 'import skimage.measure, trimesh' 2> /dev/null; then
    figure mesh "${shared[@]}"
else
    say "mesh: left out, it needs the extra 'figures': $python -m pip install scikit-image trimesh"
fi
figure driving "${shared[@]}" "${driving[@]}"
if [ -f "$ablation" ]; then
    figure ablation --results "$ablation"
else
    say "ablation: left out, there is no $ablation; scripts/ablate.py writes it"
fi
figure page
