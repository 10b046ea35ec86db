#!/usr/bin/env bash
# benchmarks/gpu/run.sh check | measure | table [--device cuda|emulated] [--out DIR] [...]
#
# Needs python3 with gpuzarr's requirements, and nothing else: packages that are missing are taken
# from a folder of wheels, $GPUZARR_WHEELS or .whl/ in the checkout, if there is one, and put aside.
# GPUZARR_FIXTURES names the folder of the conformance fixtures. See docs/gpu-checklist.md.
set -euo pipefail
part=${1:?"a part: check, measure or table"}
shift
case $part in check | measure | table) ;; *)
    echo "There is no part '$part': check, measure or table." >&2
    exit 2
    ;;
esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
wheels=${GPUZARR_WHEELS:-$root/.whl}
if compgen -G "$wheels/*.whl" >/dev/null; then
    site=${TMPDIR:-/tmp}/gpuzarr-site-$(cat "$wheels"/*.whl | cksum | tr -dc 0-9)
    if [[ ! -e $site/.complete ]]; then
        python3 -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --upgrade \
            --target "$site" "$wheels"/*.whl
        touch "$site/.complete"
    fi
    export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
fi
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
exec python3 -m "benchmarks.gpu.$part" "$@"
