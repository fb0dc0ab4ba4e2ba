#!/usr/bin/env bash
# tests/lowest.sh [TEST...]: tests on the lowest versions that pyproject.toml allows, of everything and then of a plain
# install, in an environment (LOWEST, build/lowest-VERSION) made by PYTHON (.venv/bin/python). torch is the build at hand.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(realpath --no-symlinks "${PYTHON:-.venv/bin/python}")
version=$("$python" -c 'import sys; print("{}.{}".format(*sys.version_info))')
environment=${LOWEST:-build/lowest-$version}
[ $# != 0 ] || set -- tests/g2p tests/tts_service tests/kokoro/test_engine.py tests/agent tests/server tests/workshop
"$python" -m venv "$environment"
install=("$environment/bin/python" -m pip --disable-pip-version-check --quiet install)
resolve() { # FILE [OPTION...]
  "$python" -m uv pip compile --quiet --resolution lowest-direct --only-binary :all: --no-binary docopt --no-header \
    --python-version "$version" --override - --output-file "$environment/$1" "${@:2}" pyproject.toml \
    <<<"torch; sys_platform == 'nowhere'"
  "${install[@]}" --requirement "$environment/$1"
}
check() { PYTHONPATH=$PWD "$environment/bin/python" -m pytest -q -p no:cacheprovider -m "not e2e and not quality" "$@"; }
"${install[@]}" torch==2.13.0
resolve all.txt --all-extras
"${install[@]}" --no-deps --editable .
check "$@"
resolve plain.txt
check tests/workshop/test_cli.py -k "not recorded and not doctor"
