# All targets work on a fresh Debian machine with git, make and Python 3.11 or newer with venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
RUNTIME := $(VENV)/.runtime
TOOLS := $(VENV)/.tools
BENCH := .venv-bench/.installed
AUDIT := .venv-audit/.installed
EXAMPLE := .run/workspace
SETTINGS := .run/scheduler.yaml

.PHONY: run test coverage proof lint format screenshots docs audit bench clean-run

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(RUNTIME): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[watch]'
	@touch $@

$(TOOLS): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[test,lint]'
	@touch $@ $(RUNTIME)

$(EXAMPLE): | examples/workspace
	@mkdir -p .run
	cp -r examples/workspace $(EXAMPLE)

# The engine of the example deploys edited files by itself.
$(SETTINGS):
	@mkdir -p .run
	echo 'watch: apply' > $(SETTINGS)

# The console on a copy of the bundled example. Its state is kept in .run, so a second start continues it.
run: $(RUNTIME) $(EXAMPLE) $(SETTINGS)
	@VICTOR_STATE=$(CURDIR)/.run/state $(BIN)/python -m victor_engine.service.headless \
		--workspace $(EXAMPLE) --trust
	@if [ -t 0 ] && [ -t 1 ] && [ -t 2 ]; then \
		VICTOR_STATE=$(CURDIR)/.run/state exec $(BIN)/victor-tui --workspace $(EXAMPLE) --config $(SETTINGS); \
	else \
		echo "Not connected to a terminal: the example workspace runs without the console."; \
		VICTOR_STATE=$(CURDIR)/.run/state exec $(BIN)/python -m victor_engine.service.headless \
			--workspace $(EXAMPLE) --config $(SETTINGS); \
	fi

# Delete the copy of the example and its state.
clean-run:
	rm -rf .run

# A worker without tests takes half of those that wait for another worker, so the four end together. There are more
# of them than cores, because the tests of processes and terminals wait.
test: $(TOOLS)
	$(BIN)/python -m pytest -n 4 --dist worksteal

# The coverage of each package, compared with its floor in tests/coverage_floors.json. The tracer doubles the time and does
# not follow processes, so tests of processes are left out, and of the console all but those that open every screen.
# A test that limits a time can fail under the tracer: only the coverage counts here.
COVERED := $(addprefix tests/,cli config contract definition engine graph notify people plans runs scheduling service \
	store versioning web tui/test_activity.py tui/test_changed_cells.py tui/test_console.py tui/test_keys.py \
	tui/test_snapshots.py tui/test_textual_compat.py)

coverage: $(TOOLS)
	rm -f .coverage.json
	-$(BIN)/python -m pytest -n 3 --dist worksteal -m 'not process' -p no:cacheprovider --timeout 300 \
		--cov --cov-report=json:.coverage.json --cov-report= $(COVERED)
	$(BIN)/python -m tests.coverage_floors

# Compares the engine with a model through full disks, restarts and kills, then kills engine processes 300 times
# during work and commands, and checks their store after each kill. Then it gives random input to everything that reads
# text of other people, ten minutes for each, and prunes a month of a run a second to a week while people answer. Takes
# hours, and needs 4 GB of disk.
proof: $(TOOLS)
	$(BIN)/python -m tests.engine.state_machine --examples 500
	$(BIN)/python -m tests.engine.deployment_machine --examples 200
	$(BIN)/python -m benchmarks.crash --kills 300
	$(BIN)/python -m tests.fuzz --seconds 600
	$(BIN)/python -m tests.web.any_input --examples 100
	$(BIN)/python -m tests.tui.test_steady_rows --presses 10000
	$(BIN)/python -m benchmarks.retention --days 30 --keep 7
	$(BIN)/python -m benchmarks.map_items

lint: $(TOOLS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(TOOLS)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

screenshots: $(TOOLS)
	$(BIN)/python -m tests.tui.screenshots

# The documents as a site in site/, which needs no network. A warning is an error.
docs: $(TOOLS)
	$(BIN)/python -m properdocs build

# Known vulnerabilities of the pinned packages. A database that cannot be reached is reported, and is not an error.
audit: $(AUDIT)
	.venv-audit/bin/python -m tests.audit_constraints

$(AUDIT): constraints.txt constraints-audit.txt
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -c constraints-audit.txt pip-audit
	@touch $@

# The products for comparison have a separate environment, so that nothing else depends on them.
bench: $(BENCH)
	.venv-bench/bin/python -m benchmarks

$(BENCH): pyproject.toml constraints.txt constraints-bench.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -c constraints-bench.txt -e '.[bench]'
	@touch $@
