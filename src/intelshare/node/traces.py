"""Spans for OpenTelemetry (extra ``otel``, decision 70): one for each call, and one for each step.

Off unless the standard variables OTEL_... ask for them. A span has the name of a method or a step, when it
began and ended, and the code with which it failed: nothing of a bulletin, a label, a member or a user, and no
text of an error. No trace context is read from a caller, and none is sent to anybody.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from intelshare import __version__
from intelshare.errors import IntelshareError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

CODE: Final = "intelshare.code"
"""The attribute that says with which code a call or a step failed."""

METHOD: Final = "rpc.method"

_CLOSING: Final = 2.0
"""The seconds for which the end of a node waits until the last spans are out."""


class SpanEnd:
    """The end of a call or a step: it succeeded, or failed with a code."""

    def __init__(self) -> None:
        self.code = ""
        """Empty: it succeeded."""


class Traces:
    """The spans of one node; without a provider there are none, and nothing is loaded."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("intelshare", __version__) if provider is not None else None

    @contextmanager
    def call(self, method: str) -> Iterator[SpanEnd]:
        """Cover a call that this node serves, to its end."""
        if self._tracer is None:
            yield SpanEnd()
            return
        from opentelemetry.trace import SpanKind

        with self._span(method.lstrip("/"), SpanKind.SERVER, {"rpc.system": "grpc", METHOD: method}) as made:
            yield made

    @contextmanager
    def step(self, name: str) -> Iterator[SpanEnd]:
        """Cover a step, from when it is asked for until it is durable."""
        if self._tracer is None:
            yield SpanEnd()
            return
        from opentelemetry.trace import SpanKind

        with self._span(f"step {name}", SpanKind.INTERNAL, {}) as made:
            yield made

    @contextmanager
    def _span(self, name: str, kind: Any, attributes: Mapping[str, str]) -> Iterator[SpanEnd]:
        from opentelemetry import trace

        assert self._tracer is not None  # noqa: S101 - its callers have looked
        span = self._tracer.start_span(name, kind=kind, attributes=dict(attributes))
        outcome = SpanEnd()
        try:
            # An exception's text may name what nobody outside may read: only its code is kept.
            with trace.use_span(
                span, end_on_exit=False, record_exception=False, set_status_on_exception=False
            ):
                yield outcome
        except IntelshareError as error:
            outcome.code = outcome.code or error.code
            raise
        except Exception:
            outcome.code = outcome.code or "INTERNAL"
            raise
        finally:
            if outcome.code:
                span.set_attribute(CODE, outcome.code)
                span.set_status(trace.StatusCode.ERROR)
            span.end()

    def close(self) -> None:
        """Send what is left, for a moment at most: a collector that is away delays no stop."""
        if self._provider is not None:
            last = threading.Thread(target=self._provider.shutdown, daemon=True)
            last.start()
            last.join(_CLOSING)


def are_asked_for(environ: Mapping[str, str]) -> bool:
    """Return true if the standard variables ask for spans."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environ.get("OTEL_TRACES_EXPORTER", "")
    if exporter:
        return exporter != "none"
    return any(
        environ.get(name) for name in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    )


def traces_of(environ: Mapping[str, str], node: str) -> tuple[Traces, str]:
    """Return the spans that the standard variables ask for, and a code if they cannot be sent.

    EXTRA_MISSING: ``intelshare[otel]`` is not installed. INPUT_INVALID: an exporter other than otlp and
    console, or a protocol other than http/protobuf. A platform may set these variables for every program, so
    neither ends a node.
    """
    if not are_asked_for(environ):
        return Traces(), ""
    if find_spec("opentelemetry.exporter") is None or find_spec("opentelemetry.sdk") is None:
        return Traces(), "EXTRA_MISSING"
    protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    exporter = _exporter(environ.get("OTEL_TRACES_EXPORTER") or "otlp")
    if exporter is None or protocol not in (None, "", "http/protobuf"):
        return Traces(), "INPUT_INVALID"
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # Its complaints about a collector would stand as plain text among the lines of the node's log.
    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
    logging.getLogger("opentelemetry").propagate = False
    named = {} if environ.get("OTEL_SERVICE_NAME") else {"service.name": "intelshare"}
    provider = TracerProvider(resource=Resource.create({**named, "service.instance.id": node}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Traces(provider), ""


def _exporter(name: str) -> SpanExporter | None:
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    if name != "otlp":
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()
