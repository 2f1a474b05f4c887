"""Listening on a port until told to stop, and then finishing what is under way."""

import signal
import threading
import time

import uvicorn

from engine.server.application import Server

_LINGER = 5.0  # seconds for threads to come to their next token after everything was answered


class Listening:
    """An engine server on an address. After SIGTERM or `stop` it takes no new connection, goes on
    with what is under way for up to `drain` seconds, and ends."""

    def __init__(self, server: Server, host: str, port: int, *, drain: float):
        self._server = server
        config = uvicorn.Config(
            server.app, host, port, lifespan="off", access_log=False, log_level="warning",
            timeout_graceful_shutdown=max(1, round(drain)), server_header=False,
            ws="none", h11_max_incomplete_event_size=16 << 10,
        )  # fmt: skip
        self._uvicorn = uvicorn.Server(config)

    def stop(self) -> None:
        self._uvicorn.should_exit = True

    def run(self) -> None:
        """Serves until stopped. In the main thread SIGTERM stops it too, and ends nothing else."""
        main = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGTERM, lambda *_: None) if main else None
        try:
            self._uvicorn.run()
        finally:
            if main:
                signal.signal(signal.SIGTERM, before)
            self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + _LINGER
        while self._server.running and time.monotonic() < end:
            time.sleep(0.02)
