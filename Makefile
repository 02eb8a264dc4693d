# Conveyor. `make help` lists the targets; nothing has to be installed but make and Python 3.11, 3.12 or 3.13.
.DEFAULT_GOAL := help
.PHONY: help setup warm demo test check format bench clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

setup: warm ## install into .venv what requirements.lock pins and compile the kernels (done by the other targets when needed)

# Nobody's first run waits: it says nothing and takes half a second when the kernels are in the cache.
warm: $(STAMP)
	@$(BIN)/python -c 'from engine.commands.replay import compile_kernels; compile_kernels()'

demo: warm ## a local exchange, the live engine against it over a WebSocket, its session verified
	@$(BIN)/conveyor demo

test: check warm ## all checks and tests
	@printf 'test: pytest\n'
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal

check: $(STAMP) ## ruff and mypy
	@printf 'check: ruff check\n'
	@$(BIN)/ruff check --quiet .
	@printf 'check: ruff format\n'
	@$(BIN)/ruff format --quiet --check . || { $(BIN)/ruff format --check .; echo 'check: run make format' >&2; exit 1; }
	@printf 'check: mypy\n'
	@$(BIN)/mypy --no-error-summary

format: $(STAMP) ## let ruff sort imports and format the sources
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

bench: warm ## measure what is promised
	@$(BIN)/conveyor bench

clean: ## remove .venv, caches and what was built
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist demo
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@printf 'clean: removed .venv, caches, build, dist and demo\n'

# The project itself is installed last, editable, with the build backend of the lock: no network is needed for it.
$(STAMP): requirements.lock pyproject.toml
	@set -e; \
	fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; \
	if ! "$(BIN)/python" -c "$$fits" 2>/dev/null; then \
		python=''; \
		for candidate in $(PYTHON) python3.13 python3.12 python3.11 python3; do \
			if "$$candidate" -c "$$fits" 2>/dev/null; then python="$$candidate"; break; fi; \
		done; \
		if [ -z "$$python" ]; then \
			echo 'setup: no Python 3.11, 3.12 or 3.13 found. Install one, or name it: make setup PYTHON=/path/to/python3.12' >&2; \
			exit 1; \
		fi; \
		printf 'setup: %s in $(VENV)\n' "$$("$$python" --version)"; \
		rm -rf $(VENV); \
		if command -v uv >/dev/null 2>&1; then \
			uv venv --quiet --python "$$("$$python" -c 'import sys; print(sys.executable)')" $(VENV); \
		elif ! "$$python" -m venv $(VENV); then \
			rm -rf $(VENV); \
			echo 'setup: python -m venv failed; on Debian and Ubuntu: apt install python3-venv' >&2; \
			exit 1; \
		fi; \
	fi; \
	if command -v uv >/dev/null 2>&1; then \
		install="uv pip install --quiet --compile-bytecode --python $(BIN)/python"; \
	else \
		"$(BIN)/python" -m pip --version >/dev/null 2>&1 || "$(BIN)/python" -m ensurepip >/dev/null; \
		install="$(BIN)/python -m pip install --quiet"; \
	fi; \
	printf 'setup: %s packages of requirements.lock\n' "$$(grep -c '==' requirements.lock)"; \
	$$install --require-hashes -r requirements.lock; \
	printf 'setup: conveyor itself\n'; \
	$$install --no-deps --no-build-isolation --editable .; \
	$(BIN)/python -m compileall -q config engine replay bench; \
	touch $(STAMP)
