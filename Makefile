# The door to every chore. PY is the environment that `make env` makes.
PY ?= .venv/bin/python

# Every target is a command, none is a file.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*/\1/p' Makefile)

env:            ## environment for development, from the lock
	python3 -m venv .venv
	.venv/bin/pip install -q --require-hashes -r requirements.lock
	.venv/bin/pip install -q --no-deps -e .

lock:           ## pin every dependency with its hashes (needs uv)
	uv pip compile --universal --generate-hashes --no-header --no-annotate \
		--python-version 3.11 --extra bench --extra dev --extra gateway --extra pkcs11 --extra postgres --extra prove --extra otel pyproject.toml -o requirements.lock
	uv pip compile --universal --generate-hashes --no-header --no-annotate \
		--python-version 3.11 --extra site pyproject.toml -o site.lock

lint:           ## format and lint
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .

types:          ## mypy --strict
	$(PY) -m mypy

imports:        ## rooms import one way
	$(dir $(PY))lint-imports

test:           ## what the README calls
	$(PY) -m pytest

test-timed:     ## limits that are promises, on a machine that does nothing else
	$(PY) -m pytest -n 0 -m timed

check: lint types imports test test-timed bench-short   ## all that CI checks, in this environment

proto:          ## regenerate src/intelshare/wire/v1 from proto/
	PATH="$$(dirname $(PY)):$$PATH" $(PY) -m grpc_tools.protoc -Iintelshare/wire/v1=proto/intelshare/v1 --python_out=src \
		--grpc_python_out=src --mypy_out=quiet:src --mypy_grpc_out=quiet:src \
		intelshare/wire/v1/peer.proto intelshare/wire/v1/user.proto

agree:          ## the engine and its second reading on 50,000 random worlds (WORLDS=n)
	PYTHONPATH=tests $(PY) tests/property/test_policy_agreement.py $(or $(WORLDS),50000)

prove:          ## the invariants of the decision over the finite core, with z3 (extra prove)
	PYTHONPATH=tests $(PY) -m pytest -n 0 -m 'soak or not soak' tests/property/test_policy_prove.py

console-test:   ## the console in Chromium over real nodes, with 10,000 bulletins; makes docs/images
	.venv/bin/pip install -q --require-hashes -r browser.lock
	mkdir -p build/browser && cd build/browser && npm pack --silent axe-core@4.14.1 && tar xzf axe-core-*.tgz package/axe.min.js
	CONSOLE_IMAGES=1 CONSOLE_BULLETINS=$(or $(BULLETINS),10000) $(PY) -m pytest -n 0 -s tests/browser

console-vendor: ## the JavaScript of others that the console serves, anew from npm, with its table of hashes
	$(PY) tests/vendored.py

gateway-load:   ## 10,000 objects through a gateway while they arrive: none lost, none twice
	PYTHONPATH=tests $(PY) tests/gateway_load.py --bulletins $(or $(BULLETINS),100) --objects $(or $(OBJECTS),100)

faults:         ## F1 to F36 with real processes, a figure for each row; ROWS="F1 F12", CYCLES=n, SHORT=1, STORE=postgres
	PYTHONPATH=tests:. nice -n 10 $(PY) tests/faults.py $(ROWS) $(if $(SHORT),--short) $(if $(CYCLES),--cycles $(CYCLES)) $(if $(STORE),--store $(STORE))

soak-faults:    ## kills, stops, bad lines, rotations and suspensions at random for MINUTES=30; SEED=n plays a run again
	PYTHONPATH=tests:. $(if $(SEED),FAULT_SEED=$(SEED)) nice -n 10 $(PY) tests/fault_soak.py $(or $(MINUTES),30)

siege:          ## strangers and a hostile member attack a node for ten minutes while two honest members exchange
	PYTHONPATH=tests:. $(PY) tests/siege.py --minutes $(or $(MINUTES),10)

fuzz:           ## TARGET=name (else all) and RUNS=n of tests/fuzz: a million inputs each for those nearest the wire
	PYTHONPATH=tests $(PY) -m fuzz.run $(TARGET) $(if $(RUNS),--runs $(RUNS))

fuzz-covered:   ## the same, one TARGET, by inputs that follow the coverage (pip install --require-hashes -r fuzz.lock)
	PYTHONPATH=tests $(PY) -m fuzz.run $(TARGET) --atheris $(if $(RUNS),--runs $(RUNS))

manifests:      ## the examples for Kubernetes by its own schemas (manifests.lock: 110 MB into build/manifests)
	$(PY) -m pip install -q --require-hashes --no-deps --upgrade --target build/manifests -r manifests.lock
	PYTHONPATH=build/manifests $(PY) -m pytest -n 0 tests/e2e/test_deployment.py -k kubernetes_manifests

forgeries:      ## writes every forged file that we know, and asks the judge about each
	PYTHONPATH=tests $(PY) tests/forgeries.py $(or $(OUT),build/forgeries)

mutants:        ## wrong copies of the judge and of decide: those that no forged file, no vector tells
	PYTHONPATH=tests $(PY) tests/mutants.py
	PYTHONPATH=tests $(PY) tests/policy_mutants.py

sbom:           ## docs/sbom.cdx.json: what is installed with intelshare, under which licences
	@PYTHONPATH=tests $(PY) tests/supply.py

release:        ## dist/: wheel, source, bill of materials, provenance and hashes, from what is committed
	@PYTHONPATH=tests $(PY) tests/release.py

codes:          ## each code of docs/format.md: the vectors that state it, the tests that do
	@PYTHONPATH=tests $(PY) tests/codes.py

bench:          ## releases per second end to end, in turn with JetStream, a secure peer and a floor (extra bench)
	$(PY) -m bench.releases

bench-short:    ## what a release costs, held against bench/figures.json, in a minute (for CI)
	$(PY) -m bench.gate --short

bench-latency:  ## one bulletin alone and behind a queue, beside a gRPC call; memory of an idle node
	$(PY) -m bench.latency

bench-postgres: ## what a release costs with its rows in PostgreSQL, beside SQLite (extra postgres, a server)
	$(PY) -m bench.postgres

bench-together: ## what a release costs with one, two and three replicas together
	$(PY) -m bench.together

bench-move:     ## what `node move` costs for a row, there and back, and its memory (ROWS=100000)
	nice -n 5 $(PY) -m bench.move --rows $(or $(ROWS),100000)

replicas:       ## kill the node of a member with replicas KILLS times under load: nothing lost, nothing twice
	PYTHONPATH=tests:. $(PY) tests/replicas_world.py --kills $(or $(KILLS),50) --freeze 10 --restart 5

failover:       ## lose the primary of a member's PostgreSQL TIMES times under load, stall its line, shift replicas' clocks
	PYTHONPATH=tests:. $(PY) tests/failover_world.py --times $(or $(TIMES),5)

replicas-together: ## the same for replicas that all serve users: any of three is killed or frozen
	PYTHONPATH=tests:. $(PY) tests/together_world.py --kills $(or $(KILLS),50) --freeze 10 --restart 5 --peers 3

bench-recipients: ## what a further recipient costs
	$(PY) -m bench.recipients

bench-prompt:   ## how long a person waits for a command
	$(PY) -m bench.prompt

bench-growth:   ## what 100,000 stored bulletins change; takes minutes
	$(PY) -m bench.growth

bench-envelope: ## microseconds per release of the envelope alone
	$(PY) -m bench.envelope

bench-policy:   ## decisions per second, loading, 1,000 treaties, beside Cedar
	$(PY) -m bench.policy

sim:            ## a thousand seeds of the simulator
	$(PY) -m intelshare sim --seeds 1..1000

soak:           ## every planted bug is found, many seeds take every row of both tables (minutes)
	$(PY) -m pytest -n 2 -m soak

demo:           ## the demo, without pauses
	$(PY) -m intelshare demo --no-pause

metrics:        ## docs/metrics.md, from the table of metrics
	@$(PY) -c "import pathlib, intelshare.metrics as m; pathlib.Path('docs/metrics.md').write_text(m.page(), 'utf-8')"

test-map:       ## tests/README.md, from the pages of promises and attacks
	@PYTHONPATH=tests $(PY) -m page_map

reference:      ## docs/commands.md and docs/codes.md, from the commands and the catalogue of codes
	@PYTHONPATH=tests $(PY) -m reference_pages

site:           ## build/site: the documentation as a site (pip install --require-hashes -r site.lock)
	@PYTHONPATH=tests $(PY) -m site_pages build/pages
	$(PY) -m zensical build --clean --strict
