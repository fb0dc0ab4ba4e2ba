# Everything lives in .venv; nothing needs root. `make run ARGS="--help"` passes options on.
PYTHON ?= python3
PIP := .venv/bin/python -m pip --disable-pip-version-check --quiet

.PHONY: run test check lowest lint bench pictures clean

run: .venv/run.stamp
	@.venv/bin/python run_agent.py $(ARGS)

test: .venv/test.stamp lint
	.venv/bin/python -m pytest --durations=20 $(ARGS)

# What can be told in a minute: no browser, no telephone, no listening.
check: .venv/test.stamp lint
	.venv/bin/python -m pytest -q -m "not e2e and not quality" tests/g2p tests/test_architecture.py tests/test_messages.py \
		tests/test_deployment.py $(ARGS)

# The lowest versions that pyproject.toml allows, in an environment of their own.
lowest: .venv/test.stamp
	tests/lowest.sh $(ARGS)

lint: .venv/test.stamp
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

bench: .venv/test.stamp
	.venv/bin/python -m tests.benchmarks.g2p
	.venv/bin/python -m tests.benchmarks.tts
	.venv/bin/python -m tests.benchmarks.glm --quick
	.venv/bin/python -m tests.benchmarks.agent
	.venv/bin/python -m tests.benchmarks.phone

# Those of the README, from the running product; they need Chromium.
pictures: .venv/test.stamp
	.venv/bin/python -m tests.pictures

clean:
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
		{ echo "Python 3.11, 3.12 or 3.13 is needed; name one with: make PYTHON=python3.12 run"; exit 1; }
	@$(PYTHON) -m venv .venv || \
		{ rm -rf .venv; echo "The venv module is missing; on Debian: apt install python3-venv"; exit 1; }

.venv/run.stamp: .venv/bin/python pyproject.toml
	@echo "Installing packages into .venv (1.4 GB on disk with the models; a few minutes the first time) ..."
	@$(PIP) install --editable ".[agent]"
	@touch $@

# torch first and by itself, so that a CPU build that is already at hand is taken and nothing replaces it
.venv/test.stamp: .venv/bin/python pyproject.toml
	@echo "Installing packages for the tests into .venv ..."
	@$(PIP) install torch==2.13.0
	@$(PIP) install --editable ".[glm,studio,phone,ray,wyoming,livekit,test]"
	@touch $@ .venv/run.stamp
