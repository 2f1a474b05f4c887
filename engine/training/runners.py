"""Ways to apply a pure function to many items: here, in processes, or on a Ray cluster.

The caller reads and writes the files, so that a cluster needs no shared disk; items and results
travel. Only a few items a worker are held at a time.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, Protocol

import engine
from engine.training.corpus import CorpusError

AHEAD = 2  # items a worker that wait for it


class Runner(Protocol):
    """(function, (key, item)...) -> (key, function(item))..., in order."""

    def __call__(
        self, function: Callable[[Any], Any], items: Iterable[tuple[Hashable, Any]], /
    ) -> Iterator[tuple[Any, Any]]: ...


def run_here(
    function: Callable[[Any], Any], items: Iterable[tuple[Hashable, Any]]
) -> Iterator[tuple[Any, Any]]:
    for key, item in items:
        yield key, function(item)


_function: Callable[[Any], Any]


def _begin(function: Callable[[Any], Any]) -> None:
    """In a new worker process: keeps the function, and ends when the parent is gone. Ctrl-C is
    for the parent."""
    global _function
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _function = function
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _apply(item: Any) -> Any:
    return _function(item)


def run_in_processes(
    function: Callable[[Any], Any], items: Iterable[tuple[Hashable, Any]]
) -> Iterator[tuple[Any, Any]]:
    """On all cores that this process may use. Raises CorpusError if a process is killed."""
    workers = len(os.sched_getaffinity(0))
    waiting: deque[tuple[Hashable, Future[Any]]] = deque()
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin, (function,))
    try:
        for key, item in items:
            waiting.append((key, pool.submit(_apply, item)))
            if len(waiting) > AHEAD * workers:
                key, future = waiting.popleft()
                yield key, future.result()
        while waiting:
            key, future = waiting.popleft()
            yield key, future.result()
    except BrokenProcessPool:
        raise CorpusError(
            "a worker process was killed, perhaps for want of memory; "
            "run the command again, it goes on from here"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


class RayRunner:
    """Runs on the cluster that RAY_ADDRESS names, else on a Ray of this machine's own.

    Sends the package `engine` along, without the weights; NumPy and safetensors must be there.
    """

    def __init__(self) -> None:
        """Raises CorpusError if Ray is not installed."""
        try:
            self._ray: Any = import_module("ray")
        except ImportError:
            raise CorpusError(
                "--ray needs the package ray, which is not installed; "
                "install it with: pip install ray==2.60.0, or run without --ray"
            ) from None
        package = str(Path(next(iter(engine.__path__))))
        try:
            self._ray.init(
                log_to_driver=False,
                runtime_env={"py_modules": [package], "excludes": ["weights", "__pycache__"]},
            )
        except ConnectionError as error:
            raise CorpusError(f"cannot reach the Ray cluster: {error}; see RAY_ADDRESS") from None

    def __call__(
        self, function: Callable[[Any], Any], items: Iterable[tuple[Hashable, Any]]
    ) -> Iterator[tuple[Any, Any]]:
        ray = self._ray
        call = ray.remote(_call)
        kept = ray.put(function)  # once, however many items there are
        ahead = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
        waiting: deque[tuple[Hashable, Any]] = deque()
        try:
            for key, item in items:
                waiting.append((key, call.remote(kept, item)))
                if len(waiting) > ahead:
                    key, future = waiting.popleft()
                    yield key, ray.get(future)
            while waiting:
                key, future = waiting.popleft()
                yield key, ray.get(future)
        except ray.exceptions.RayError as error:
            raise CorpusError(
                f"Ray failed: {str(error).splitlines()[-1]}; "
                "run the command again, it goes on from here"
            ) from None

    def close(self) -> None:
        self._ray.shutdown()


def _call(function: Callable[[Any], Any], item: Any) -> Any:
    return function(item)
