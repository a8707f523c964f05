# Each target sets up what it needs on a fresh machine with Python 3.11 or newer.
PYTHON ?= python3
NAME ?= asp_dmd-$(shell date +%Y%m%d-%H%M%S)
BIN := .venv/bin

.PHONY: search compare test units system lint bench bench-driver bench-search bench-real evidence mutants simulate chaos ui clean

search: .venv/run.done
	$(BIN)/python -m platform.search --space asp_dmd.yaml --name $(NAME) $(ARGS)

compare: .venv/run.done
	$(BIN)/python -m platform.compare --systems all $(ARGS)

test: .venv/test.done lint
	$(MAKE) -j2 units system

# Two halves that take about as long: system tests run commands.
units:
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/architecture tests/platform tests/trainers tests/bench tests/mutants tests/simulation tests/docs $(ARGS)

system:
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/system $(ARGS)

lint: .venv/test.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.architecture.lint_imports

bench: .venv/test.done
	PYTHONPATH=. $(BIN)/python tests/bench/inr.py

# The driver's times and memory with 10,000 trials, without training; about ten minutes of one core.
bench-driver: .venv/test.done
	OMP_NUM_THREADS=1 PYTHONPATH=. $(BIN)/python -m tests.bench.driver $(ARGS)

# The search against others on a simulated clock; hours for all of it (ARGS="--quick": a minute), resumes where it was.
bench-search: .venv/bench.done
	OMP_NUM_THREADS=1 PYTHONPATH=.:.venv/bench $(BIN)/python -m tests.bench.main $(ARGS)

# Early stopping in real studies on the phantom; half an hour a seed on two cores.
bench-real: .venv/test.done
	OMP_NUM_THREADS=1 PYTHONPATH=. $(BIN)/python -m tests.bench.real $(ARGS)

# The tables of docs/evidence and docs/coverage.md: hours for all of them (ARGS="--only coverage": five minutes of
# one core), resumes where it was.
evidence: .venv/test.done
	OMP_NUM_THREADS=1 PYTHONPATH=. $(BIN)/python -m tests.bench.evidence $(ARGS)

# Faults planted in a copy of the source, one at a time, which tests must notice; ten minutes of one core.
mutants: .venv/test.done
	OMP_NUM_THREADS=1 PYTHONPATH=. $(BIN)/python -m tests.mutants $(ARGS)

# The driver against faults from one seed, by default 20,000 studies; 3,000 (ARGS="--studies 3000") took 54 s of two cores.
simulate: .venv/test.done
	OMP_NUM_THREADS=1 PYTHONPATH=. $(BIN)/python -m tests.simulation $(ARGS)

# Faults with full counts on real processes and servers (ARGS="--quick --rows 8 9": few of each), resumes where it was.
chaos: .venv/chaos.done
	OMP_NUM_THREADS=1 PYTHONPATH=.:.venv/chaos $(BIN)/python -m tests.chaos $(ARGS)

ui: .venv/run.done
	$(BIN)/mlflow ui --backend-store-uri sqlite:///runs/mlflow.db --host 127.0.0.1

.venv/run.done: requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check -r requirements.lock
	touch $@

.venv/test.done: .venv/run.done tests/requirements.lock
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check -r requirements.lock -r tests/requirements.lock
	touch $@

.venv/bench.done: .venv/test.done tests/bench/requirements.txt
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check --no-deps --upgrade --target .venv/bench -r tests/bench/requirements.txt
	touch $@

.venv/chaos.done: .venv/test.done tests/chaos/requirements.txt
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check --no-deps --upgrade --target .venv/chaos -r tests/chaos/requirements.txt
	touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
