# make serve   install dependencies, download the model, start (MODEL=, PORT=, HOST=, any MYNA_*)
# make test    install test dependencies, download the models, run all tests
# make test-clients   run examples/clients and LangChain's own tests against a live server; installs 600 MB more
# make test-fleet     run the tests of the fleet with Ray, which they start; installs 700 MB more
# make test-vllm      run tests/vllm with vLLM's build for processors, in build/vllm; installs 3 GB
# make docs    build the documentation as a website, in build/site
# make check   format, lint, types, import contracts, prose; `scripts/check --fix` fixes what it can
# make clean   remove all build output; keeps the models in ~/.local/share/myna
# Lock files are complete, so pip doesn't resolve dependencies (--no-deps).

SHELL := /bin/bash
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell scripts/find-python)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
SOURCES := $(shell find src native CMakeLists.txt pyproject.toml README.md LICENSE -type f \
	! -name '*.pyc' ! -name '*.so')
TEST_MODELS := smollm2-135m-instruct qwen2.5-coder-0.5b-instruct qwen2.5-coder-1.5b-instruct gemma-3-270m pyodide
# Shells often have variables of these names: only those given on the command line of `make` count.
given = $(if $(filter command%,$(origin $(1))),$($(1)))

export VENV

.PHONY: serve test test-native test-clients test-vllm test-fleet docs check clean install models-for-tests
.DELETE_ON_ERROR:

serve: $(VENV)/.deps
	@exec scripts/serve "$(call given,MODEL)" "$(call given,HOST)" "$(call given,PORT)"

test: $(VENV)/.dev
	@scripts/in-parallel "$(MAKE) -s $(VENV)/.installed $(VENV)/.llamacpp" "$(MAKE) -s models-for-tests"
	@scripts/test

test-native: $(VENV)/.dev
	@PATH="$(abspath $(BIN)):$$PATH" scripts/test-native

test-clients: $(VENV)/.installed build/clients/.deps
	@[ -n "$$MYNA_TEST_MODELS" ] || PYTHONPATH=src $(BIN)/python -m myna.cli pull
	@MYNA="$(abspath $(BIN))/python -m myna.cli" scripts/test-clients

test-fleet: $(VENV)/.installed build/fleet/.deps
	@site=$$($(BIN)/python -c "import myna; print(myna.__path__[0])"); \
		cp $$site/*.so src/myna/ 2>/dev/null || true
	@PYTHONPATH=src build/fleet/bin/python -m pytest tests/fleet

test-vllm: $(VENV)/.dev build/vllm/engines/vllm/bin/python
	@TEST_VLLM_PYTHON="$(abspath build/vllm/engines/vllm/bin/python)" PYTHONPATH=src $(BIN)/python -m pytest tests/vllm

docs: $(VENV)/.dev
	@PYTHONPATH=src $(BIN)/python scripts/docs

check: $(VENV)/.dev
	@VIRTUAL_ENV="$(abspath $(VENV))" scripts/check

install: $(VENV)/.installed

models-for-tests: $(VENV)/.deps
	@[ -n "$$MYNA_TEST_MODELS" ] || PYTHONPATH=src $(BIN)/python -m myna.cli pull $(TEST_MODELS)

clean:
	rm -rf $(VENV) build .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src -name '*.so' -delete

$(VENV)/.made:
	@[ -n "$(PYTHON)" ] || { echo "Myna requires Python 3.11 or newer. Install it, or set its path: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Creating a virtual environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/.deps: requirements.lock | $(VENV)/.made
	@echo "Installing dependencies ..."
	@$(PIP) --no-deps -r requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.deps
	@echo "Installing test dependencies ..."
	@$(PIP) --no-deps -r requirements-dev.lock
	@touch $@

build/clients/.deps: examples/clients/requirements.txt examples/clients/agents-sdk/requirements.txt | $(VENV)/.deps
	@echo "Installing the clients for the examples ..."
	@$(BIN)/python -m venv build/clients
	@build/clients/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@$(BIN)/python -m venv build/clients/agents-sdk
	@build/clients/agents-sdk/bin/python -m pip install --quiet --disable-pip-version-check \
		-r examples/clients/agents-sdk/requirements.txt
	@touch $@

build/fleet/.deps: requirements.lock requirements-dev.lock | $(VENV)/.made
	@echo "Installing Ray for the tests of the fleet ..."
	@$(BIN)/python -m venv build/fleet
	@build/fleet/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		-r requirements.lock -r requirements-dev.lock
	@build/fleet/bin/python -m pip install --quiet --disable-pip-version-check "ray[serve]>=2.60,<2.61" "kubernetes-validate>=1.37"
	@touch $@

build/vllm/engines/vllm/bin/python: | $(VENV)/.deps
	@MYNA_HOME=build/vllm PYTHONPATH=src $(BIN)/python -m myna.cli engines install vllm

$(VENV)/.installed: $(SOURCES) $(VENV)/.deps
	@PATH="$(abspath $(BIN)):$$PATH" $(PIP) --no-deps --no-build-isolation .
	@touch $@

$(VENV)/.llamacpp: scripts/llamacpp scripts/llama-cpp-models | $(VENV)/.deps
	@PATH="$(abspath $(BIN)):$$PATH" scripts/llamacpp
	@scripts/llama-cpp-models >/dev/null
	@touch $@
