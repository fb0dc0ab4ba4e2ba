#!/usr/bin/env bash
# tests/pipecat_matrix.sh [VERSION...]: the tests of the service and of the example on the lowest Pipecat that pyproject.toml
# allows and on the newest, each in front of the packages of the environment that PYTHON (.venv/bin/python) belongs to.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(realpath --no-symlinks "${PYTHON:-.venv/bin/python}")
if [ $# = 0 ]; then
  lowest=$(sed -nE 's/^ *"pipecat-ai>=([0-9.]+),.*/\1/p' pyproject.toml)
  newest=$("$python" -m pip --disable-pip-version-check index versions pipecat-ai 2>/dev/null | sed -nE '1s/.*\((.*)\)/\1/p')
  set -- "$lowest" "$newest"
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version; do
  environment=$folder/$version
  "$python" -m venv --without-pip "$environment"
  "$python" -m pip --disable-pip-version-check --python "$environment/bin/python" install --quiet --no-deps "pipecat-ai==$version"
  site=$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  "$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$site/rest.pth"
  "$environment/bin/python" -c 'import importlib.metadata as m; print("Pipecat", m.version("pipecat-ai"))'
  PYTHONPATH=$PWD "$environment/bin/python" -m pytest -q -p no:cacheprovider \
    tests/tts_service/test_service.py tests/tts_service/test_turns.py tests/agent tests/server/test_realtime.py tests/test_examples.py
done
