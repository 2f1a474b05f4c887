"""What is counted, in Prometheus' format."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from engine.server.pump import Places

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Meter:
    """The counts of one server."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self, places: Places):
        self._registry = CollectorRegistry()
        self._registry.register(_Busy(places))  # type: ignore[arg-type]
        self._requests = Counter(
            "retro_requests", "Requests answered", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "retro_request_seconds", "Seconds that a request took", ["route"],
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._first = Histogram(
            "retro_first_token_seconds", "Seconds until the first token of a reply",
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._tokens = Counter("retro_tokens", "Tokens", ["kind"], registry=self._registry)

    def answered(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def first_token(self, seconds: float) -> None:
        self._first.observe(seconds)

    def written(self, prompt: int, completion: int) -> None:
        self._tokens.labels("prompt").inc(prompt)
        self._tokens.labels("completion").inc(completion)

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _Busy:
    """The places taken, as they are when they are asked for."""

    def __init__(self, places: Places):
        self._places = places

    def collect(self):
        yield GaugeMetricFamily(
            "retro_requests_running", "Requests under way", value=self._places.taken
        )
        yield GaugeMetricFamily(
            "retro_requests_most", "Requests that may be under way", value=self._places.count
        )
