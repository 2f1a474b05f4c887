"""The peer: llama.cpp writes replies greedily and tells how long it took.

    .bench/bin/python -m tests.benchmarks.llama build/bench/gopher-44m-int8.gguf --threads 2

Answers lines `{"prompt": 256, "new": 128, "seed": 0, "flash": true}`; see `tests.benchmarks.served`
for ours. Flash attention is its default, and slower than its other way in some of these shapes.
"""

import argparse
import ctypes
import time

import llama_cpp as L  # pyright: ignore[reportMissingImports]  # in .bench only
import numpy as np

from tests.benchmarks.lines import answer


class Peer:
    """One model, and one sequence for each way of attending."""

    def __init__(self, path: str, threads: int, context: int):
        L.llama_backend_init()
        wanted = L.llama_model_default_params()
        wanted.n_gpu_layers = 0
        self._model = L.llama_model_load_from_file(path.encode(), wanted)
        if not self._model:
            raise SystemExit(f"llama.cpp cannot load {path}")
        self._vocab = L.llama_vocab_n_tokens(L.llama_model_get_vocab(self._model))
        sizes = L.llama_context_default_params()
        sizes.n_ctx, sizes.n_batch = context, context
        sizes.n_threads = sizes.n_threads_batch = threads
        self._contexts = {}
        for flash, kind in (
            (True, L.LLAMA_FLASH_ATTN_TYPE_ENABLED),
            (False, L.LLAMA_FLASH_ATTN_TYPE_DISABLED),
        ):
            sizes.flash_attn_type = kind
            self._contexts[flash] = L.llama_init_from_model(self._model, sizes)
            self.reply(8, 8, flash=flash)  # touches every weight

    def reply(self, prompt: int, new: int, seed: int = 0, flash: bool = True) -> dict:
        """Reads a random prompt and writes `new` tokens after it; the first comes with the prompt.

        -> seconds of reading the prompt, and of each token after the first.
        """
        context = self._contexts[flash]
        L.llama_memory_clear(L.llama_get_memory(context), True)
        ids = np.random.default_rng(seed).integers(4, self._vocab, prompt).tolist()
        seconds = []
        for _ in range(new):
            start = time.perf_counter()
            ids = [self._feed(context, ids)]
            seconds.append(time.perf_counter() - start)
        return {"prefill": seconds[0], "tokens": seconds[1:]}

    def _feed(self, context, ids: list[int]) -> int:
        tokens = (L.llama_token * len(ids))(*ids)  # the batch only points to it
        failed = L.llama_decode(context, L.llama_batch_get_one(tokens, len(ids)))
        if failed:
            raise SystemExit(f"llama_decode failed: {failed}")
        logits = L.llama_get_logits_ith(context, -1)
        return int(np.ctypeslib.as_array(logits, shape=(self._vocab,)).argmax())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--context", type=int, default=1280, help="tokens (default 1280)")
    flags = parser.parse_args()
    quiet = L.llama_log_callback(lambda *_: None)
    L.llama_log_set(quiet, ctypes.c_void_p(0))
    peer = Peer(flags.path, flags.threads, flags.context)
    features = L.llama_print_system_info().decode()
    answer({"version": L.__version__, "features": features}, peer.reply)


if __name__ == "__main__":
    main()
