# Two commands for a person: `make demo` and `make test`. Everything lands in .venv/ and var/.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

# Nothing phones home, nothing looks for a hub while it runs, and idle threads sleep.
export DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export GX_ANALYTICS_ENABLED := false
export OMP_WAIT_POLICY := PASSIVE
# Without stored bytecode every start compiles prefect and mlflow anew: 24 s of CPU a run instead of 12.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup weights demo test check format ui clean

help:  ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 10

setup: $(VENV)/installed  ## virtual environment with the locked dependencies

$(VENV)/installed: requirements.lock pyproject.toml deployments/install.sh
	PYTHON=$(PYTHON) bash deployments/install.sh $(VENV)
	@touch $@

weights: setup  ## fetch the bundled weights, by sha256, into var/weights
	@$(BIN)/omni weights

# Some variables are read when a process starts: flows/environment.py says which, and what for.
demo: weights  ## the main job twice: preset quickstart, then one component swapped
	@env $$($(BIN)/python -m flows.environment) $(BIN)/omni demo

# Two processes of one thread each; a file stays in one of them, and with it its fixtures. In the order of tests/conftest.py:
# xdist's own, by the number of tests, would start the longest file last.
test: weights  ## all tests
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

check: setup  ## lint, format, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

ui: setup  ## how to open the two user interfaces
	@$(BIN)/omni ui

clean:  ## remove what was installed; var/ (models, weights) stays
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find flows tasks omni_core data_contracts tests -name __pycache__ -prune -exec rm -rf {} +
