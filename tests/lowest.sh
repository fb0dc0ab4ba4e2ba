#!/usr/bin/env bash
# tests/lowest.sh [TEST...]: tests on the lowest versions that pyproject.toml allows, in an environment of their own
# (LOWEST, build/lowest-VERSION) made by PYTHON (.venv/bin/python). torch is left out of it: the build at hand is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(realpath --no-symlinks "${PYTHON:-.venv/bin/python}")
version=$("$python" -c 'import sys; print("{}.{}".format(*sys.version_info))')
environment=${LOWEST:-build/lowest-$version}
[ $# != 0 ] || set -- tests/g2p tests/tts_service tests/kokoro/test_engine.py tests/agent tests/server tests/workshop
mkdir -p "$environment"
uv() { "$python" -m uv pip compile --quiet --all-extras --resolution lowest-direct --only-binary :all: --no-binary docopt --no-header \
  --override - --python-version "$1" --output-file "$2" pyproject.toml <<<"torch; sys_platform == 'nowhere'"; }
uv "$version" "$environment/versions.txt"
"$python" -m venv "$environment"
install=("$environment/bin/python" -m pip --disable-pip-version-check --quiet install)
"${install[@]}" torch==2.13.0
"${install[@]}" --requirement "$environment/versions.txt"
"${install[@]}" --no-deps --editable .
PYTHONPATH=$PWD "$environment/bin/python" -m pytest -q -p no:cacheprovider -m "not e2e and not quality" "$@"
