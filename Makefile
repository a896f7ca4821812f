# `make demo` runs the benchmark's embedded default; `make test` passes the tests.
PYTHON ?= python3
VENV ?= .venv
CORES ?= 2
# For instance PIP_ARGS="--extra-index-url …" to take CPU wheels of torch on a machine without GPU.
PIP_ARGS ?=
BIN := $(VENV)/bin
RUN_LOCKS := containers/requirements.lock workflow/requirements.lock

.PHONY: demo env test test-slow test-cluster test-faults lint container container-cpu

demo: env
	$(BIN)/snakemake --cores $(CORES) --quiet host reason
	@$(BIN)/python -m rllr show results/tiny --table headline main
	@echo "tables:  results/tiny/tables"
	@echo "figures: results/tiny/figures"
	@echo "report:  results/tiny/report.html"

env: $(VENV)/.ready

$(VENV)/.ready: $(RUN_LOCKS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) $(RUN_LOCKS:%=-r %)
	touch $@

$(VENV)/.ready-dev: $(VENV)/.ready tests/requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -r tests/requirements.lock
	touch $@

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

test: lint
	$(BIN)/python -m pytest -rs -n 2 --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/.ready-dev
	$(BIN)/python -m pytest -rs -m slow

# Need Apptainer, a running SLURM and containers/rllr-cpu.sif; what is missing is skipped and named.
test-cluster: $(VENV)/.ready-dev
	$(BIN)/python -m pytest -m cluster -rs tests/cluster

# For instance FAULTS="-k 'kill and PPO'"; a whole run, an hour, writes docs/faults.md.
FAULTS ?=
test-faults: $(VENV)/.ready-dev
	$(if $(FAULTS),,FAULTS_TABLE=docs/faults.md) $(BIN)/python -m pytest -m faults -rs tests/cluster $(FAULTS)

# Further arguments of `apptainer build`, for instance BUILD_ARGS=--fakeroot; containers/README.md has more.
BUILD_ARGS ?=

container:
	PIP_ARGS='$(PIP_ARGS)' containers/build.sh gpu containers/rllr.sif $(BUILD_ARGS)

container-cpu:
	PIP_ARGS='$(PIP_ARGS)' containers/build.sh cpu containers/rllr-cpu.sif $(BUILD_ARGS)
