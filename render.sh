#!/usr/bin/env bash
# Renders five people who turn their heads and smile, into multiview_imgs/. Sets up a fresh machine by itself.
# Options go to 'anifacegan render' ('./render.sh --help' lists them): ./render.sh --seeds 7 --frames 10
set -euo pipefail

# shellcheck source=scripts/environment.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/scripts/environment.sh"
find_python rendering

exec "$python" "$root/render.py" --config "$root/configs/render_smile.yaml" "$@"
