# Every command of the workspace. `make` lists them; what needs Python packages makes .venv first (see `setup`).
# Relative paths only, so that a checkout may lie in a folder whose name has spaces.

SHELL := /bin/sh
PY := .venv/bin/python
SYSTEM_PYTHON := $(shell command -v python3 || command -v python)

SCALE ?= toy
STAGE ?= a1_basics
IMPL ?=
TEXT ?=
PROBLEM ?=
OUT ?=
SUBMISSIONS ?=
REFERENCE ?=
DATASET ?=
LAUNCH ?= local
ARGS ?=
# Values reach the recipes through the environment, never pasted into them: quotes and spaces in a path are safe.
export SCALE STAGE IMPL TEXT PROBLEM OUT SUBMISSIONS REFERENCE DATASET LAUNCH PYTHON TORCH EXTRAS

journey = $(PY) -m shared.journey --launch "$$LAUNCH" $(1) --scale "$$SCALE" $${IMPL:+--impl "$$IMPL"} $${TEXT:+--text "$$TEXT"} $(ARGS)
graded = $(PY) -m tests.harness.$(1) --stage "$$STAGE" $${IMPL:+--impl "$$IMPL"} $${PROBLEM:+--problem "$$PROBLEM"} \
	$${REFERENCE:+--reference "$$REFERENCE"} $(ARGS)

gpu_python = $(if $(wildcard $(PY)),$(PY),"$(SYSTEM_PYTHON)")

.DEFAULT_GOAL := help
.PHONY: help ready setup doctor check test toy a1 a1-study a2 learn grade watch hint borrow status reset release grade-all \
	serve chat autograder mutants torture bench gpu-test gpu-bench data runs artifacts format clean

help:
	@awk -F ' *## ' '/^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z0-9-]+:.*## / { split($$1, name, ":"); \
		printf "  make %-11s %s\n", name[1], $$2 }' Makefile
	@printf '\nVariables: SCALE=tiny|toy|one_gpu|cluster  IMPL=reference|learner|package|path  TEXT=file or folder\n'
	@printf '           STAGE=a1_basics  PROBLEM=id  LAUNCH=local|torchrun|slurm  DATASET=name  OUT=folder\n'

set_up = [ -n "$(SYSTEM_PYTHON)" ] || { echo "error: no python3 on PATH: install Python 3.11, 3.12 or 3.13" >&2; exit 2; }; \
	"$(SYSTEM_PYTHON)" shared/setup_environment.py

ready:
	@$(set_up) --quiet

##@ Start here
toy: ready ## text to tokenizer to trained model to stories, stage 2 in short, and pages; on two cores (TEXT=your own text)
	@$(call journey,toy)

test: ready ## every test that this machine can run, in at most ten minutes
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile -rs $(ARGS)

##@ Environment
setup: ## make .venv from uv.lock; does nothing when nothing changed (PYTHON=, TORCH=cpu|gpu, EXTRAS="hf logs")
	@$(set_up)

doctor: ready ## look at this machine and name the mend for whatever is missing
	@$(PY) -m shared.doctor

##@ Learn
learn: ready ## write the stubs of STAGE to fill in, under learner/; never overwrites your work
	@$(PY) -m tests.harness.learn --stage "$$STAGE" $(ARGS)

grade: ready ## grade STAGE (IMPL=learner): outcome, points and the first failure explained, per problem
	@$(call graded,grade)

watch: ready ## grade again at every save
	@$(call graded,watch)

hint: ready ## the next hint for PROBLEM
	@$(call graded,hint)

borrow: ready ## take PROBLEM from the reference, for no points, to carry on
	@$(call graded,borrow)

status: ready ## stages, points, artifacts and the next step
	@$(PY) -m tests.harness.status $${IMPL:+--impl "$$IMPL"} $(ARGS)

reset: ready ## give PROBLEM its stub back; your version is kept beside it
	@$(call graded,reset)

##@ Teach
release: ready ## write the student tree, without solutions, to OUT
	@$(PY) -m shared.doors.release $${OUT:+--out "$$OUT"} $(ARGS)

grade-all: ready ## grade every submission under SUBMISSIONS to a CSV and one results.json each
	@$(PY) -m tests.harness.grade_all --stage "$$STAGE" $${SUBMISSIONS:+--submissions "$$SUBMISSIONS"} $${OUT:+--out "$$OUT"} $(ARGS)

autograder: ready ## build the Gradescope zip of STAGE
	@$(PY) -m tests.harness.autograder --stage "$$STAGE" $${OUT:+--out "$$OUT"} $(ARGS)

mutants: ready ## show that each known wrong solution of STAGE is rejected by the test that should
	@$(PY) -m tests.harness.mutants --stage "$$STAGE" $${PROBLEM:+--problem "$$PROBLEM"} $(ARGS)

##@ Laboratory
a1: ready ## stage 1, the longer version
	@$(call journey,a1)

a1-study: ready ## stage 1's experiments: rates, batches, ablations, divergence, sizes, tokenizers, the ladder; resumable, within two hours
	@$(call journey,a1-study)

a2: ready ## stage 2: two ranks train what one trains, kernels against the oracle, speed and memory; one page of it all
	@$(call journey,a2)

serve: ready ## a page to talk to the checkpoint toy, and OpenAI's interface for programs (ARGS="--checkpoint NAME --port 8000")
	@$(PY) -m a2_systems.run.serve $${IMPL:+--impl "$$IMPL"} $(ARGS)

chat: ready ## the same talk in the terminal (ARGS="--checkpoint NAME --temperature 0.8")
	@$(PY) -m a2_systems.run.chat $${IMPL:+--impl "$$IMPL"} $(ARGS)

data: ready ## fetch the public data set DATASET, verified, resumable, as a Corpus where it is text; alone: list them
	@$(PY) -m shared.corpora.fetch $${DATASET:+--dataset "$$DATASET"} $(ARGS)

runs: ready ## compare training runs: final loss, settings that differ, curves
	@$(PY) -m shared.runs.compare $(ARGS)

artifacts: ready ## ARGS="list", "show NAME", "lineage NAME", "gc", "export NAME FILE", "import FILE"
	@$(PY) -m shared.store.cli $(or $(ARGS),list)

bench: ready ## speed against alternatives, in interleaved pairs with a control, and cost against size; writes docs/benchmarks.md
	@$(PY) -m shared.runs.bench $(if $(filter command environment,$(origin STAGE)),--stage "$$STAGE") $(ARGS)

gpu-test: ## are the GPU kernels right? every case against float64 (needs torch and triton alone; .venv when there is one)
	@$(gpu_python) -m a2_systems.gpu.test $(ARGS)

gpu-bench: ## how fast are the GPU kernels, against SDPA by backend, flex_attention and eager torch? and training (ARGS=--tune: tile sizes)
	@$(gpu_python) -m a2_systems.gpu.bench $(ARGS)

##@ Check
check: ready ## lint, types and the workspace's own laws, in seconds
	@$(PY) -m shared.check

torture: ready ## kill every long program at thirty moments, disturb it in every way, and show that nothing comes of it
	@$(PY) -m tests.system.torture $(ARGS)

format: ready ## rewrite the code in the house format
	@$(PY) -m ruff check --fix-only --quiet . && $(PY) -m ruff format .

clean: ## remove caches and build files; artifacts, runs, learner work and .venv stay
	@rm -rf build .pytest_cache .ruff_cache .hypothesis
	@find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
