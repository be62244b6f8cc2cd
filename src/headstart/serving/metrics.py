"""Figures of the server in Prometheus's format; names as vLLM's where the meanings agree.

No label holds anything that a user sent.
"""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """All of them, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"headstart_{name}", text, labels, registry=self.registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...] = SECONDS, *labels: str) -> Histogram:
            return Histogram(f"headstart_{name}", text, labels, buckets=buckets, registry=self.registry)

        self.prompt_tokens = counter("prompt_tokens_total", "Tokens read of prompts.")
        self.generation_tokens = counter("generation_tokens_total", "Tokens written.")
        self.success = counter("request_success_total", "Texts written to their end.", "finished_reason")
        self.cancelled = counter("cancelled_total", "Requests given up.", "why")
        self.rejected = counter("rejected_total", "Requests answered by an error.", "code")
        self.unlogged = counter("unlogged_requests_total", "Requests that --log-requests could not write.")
        self.items = counter("task_items_total", "Inputs answered.", "task")
        self.first_token = histogram("time_to_first_token_seconds", "From request to first token.")
        self.next_token = histogram("inter_token_latency_seconds", "Between two tokens of a text.")
        self.latency = histogram("e2e_request_latency_seconds", "From request to the end of its answer.")
        self.queue = histogram("request_queue_time_seconds", "From request to the beginning of its work.")
        self.step_seconds = histogram("step_seconds", "One step of a model.", SECONDS, "kind")
        self.step_rows = histogram("step_rows", "Rows, or inputs, of one step.", ROWS, "kind")

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A figure that is read when it is asked for."""
        Gauge(f"headstart_{name}", text, registry=self.registry).set_function(read)

    def count(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A count that something else keeps, and that only grows."""
        self.registry.register(_Count(f"headstart_{name}", text, read))

    def text(self) -> bytes:
        """What `/metrics` answers."""
        return generate_latest(self.registry)


class _Count(Collector):
    """A counter that is read when it is asked for."""

    def __init__(self, name: str, text: str, read: Callable[[], float]) -> None:
        self.name, self.said, self.read = name, text, read

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(self.name, self.said, value=self.read())
