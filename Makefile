# `make help` lists what there is. Every target first installs what it needs (tools/bootstrap); when that
# is there already, it costs under a second.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
TIERS := check unit trainer chart apiserver cluster e2e
# Where this is set, each of the tests' hundreds of processes compiles all that it imports, torch too: 14 s
# of a core instead of 3.
unexport PYTHONDONTWRITEBYTECODE
# No proxy leads to this machine's own loopback, where clusters, stores and trainers listen.
DIRECT := $(or $(no_proxy),$(NO_PROXY))
export no_proxy := $(if $(filter *,$(DIRECT)),*,$(DIRECT),127.0.0.1,localhost)
export NO_PROXY := $(no_proxy)

.PHONY: help
help: ## Show this list
	@awk -F':.*## ' '/^[a-z][a-z -]*:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  One tier of the tests: make $(TIERS:%=% |)" | sed 's/ |$$//'

.PHONY: demo
demo: ## Train two real models on a real Kubernetes cluster on this machine (or CLUSTER=current REGISTRY=...)
	@tools/bootstrap demo
	@$(PYTHON) -m demo

.PHONY: demo-down
demo-down: ## Take the demo's cluster down; nothing of it stays
	@tools/bootstrap python
	@$(PYTHON) -m demo down

.PHONY: test
test: ## Run all tests, tier by tier, and say how long each took
	@tools/bootstrap test
	@$(PYTHON) -m tools.tiers

.PHONY: $(TIERS)
$(TIERS):
	@tools/bootstrap $(if $(filter chart apiserver cluster e2e,$@),test,python)
	@$(PYTHON) -m tools.tiers $@

.PHONY: generate
generate: ## Write all generated files: CRDs, reference, chart files, dashboards
	@tools/bootstrap python
	@$(PYTHON) -m trainwright_api.generate
	@$(PYTHON) -m trainwright_dashboards.generate
	@$(PYTHON) -m tools.chart
	@$(PYTHON) -m tools.docs
	@.venv/bin/ruff format --quiet $(wildcard crds helm operator trainer_image tools demo tests)

.PHONY: bench
bench: ## Measure trainer against a plain PyTorch loop, and the cost of metrics and sweep, on this machine
	@tools/bootstrap python
	@$(PYTHON) -m pytest -q -s tests/bench

.PHONY: images
images: ## Build both container images (TRACKERS=1: a third, the trainer with MLflow and W&B; BASE_IMAGE=...: on another base); with REGISTRY=registry.example/team also push them
	@tools/bootstrap python
	@$(PYTHON) -m tools.images all $(if $(TRACKERS),trainer-trackers) $(if $(REGISTRY),--registry $(REGISTRY) --push) $(if $(BASE_IMAGE),--base-image $(BASE_IMAGE))

.PHONY: clean
clean: ## Delete what was made inside this folder; what CONTRIBUTING lists in ~/.cache/trainwright ($TRAINWRIGHT_CACHE) stays
	rm -rf .venv out dist build .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
