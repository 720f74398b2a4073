# What a developer runs. `make help` lists it.
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help run test check bench deploy clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Newer than the requirement files <=> the environment holds what they say.
INSTALLED := $(VENV)/.installed

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): requirements.txt requirements-dev.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed, and there is no '$(PYTHON)' on the PATH" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Name another with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "'$(PYTHON)' cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

run: $(INSTALLED) ## Run the whole service on this machine (PORT=8000)
	@exec $(BIN)/python -m infra.local

# All of them share the cores (tests/conftest.py says how). A few that are picked are done sooner in one process.
test: $(INSTALLED) ## Run the tests (ARGS="-k name" picks some)
	@$(BIN)/python -m pytest $(or $(ARGS),--numprocesses auto --maxprocesses 8)

check: $(INSTALLED) ## Format, lint, types, imports, template, tests: what CI runs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cfn-lint infra/template.yaml
	@$(MAKE) --no-print-directory test

bench: $(INSTALLED) ## Measure what a payment costs
	@exec $(BIN)/python -m tests.bench

deploy: $(INSTALLED) ## Deploy to the AWS account you are signed in to (STAGE=dev REGION= ALARM_EMAIL=)
	@exec $(BIN)/python -m infra.deploy --stage $(or $(STAGE),dev) \
		$(if $(REGION),--region $(REGION)) $(if $(ALARM_EMAIL),--alarm-email $(ALARM_EMAIL))

clean: ## Remove what can be made again
	rm -rf $(VENV) .local .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
