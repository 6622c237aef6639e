"""Which variables ask for spans, and what becomes of them if they cannot be sent."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

import pytest

from intelshare.errors import DeliveryError
from intelshare.node.traces import CODE, Traces, are_asked_for, traces_of

pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

HERE = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("environ", "asked"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "fra"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": HERE}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": HERE}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_the_standard_variables_decide(environ: Mapping[str, str], asked: bool) -> None:
    assert are_asked_for(environ) is asked


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_what_cannot_be_sent_is_named_and_ends_nothing(environ: Mapping[str, str]) -> None:
    traces, code = traces_of(environ, "node")
    assert code == "INPUT_INVALID"
    with traces.call("/a/b") as outcome:
        assert outcome.code == ""


def test_without_the_extra_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr("intelshare.node.traces.find_spec", lambda _: None)
    assert traces_of({"OTEL_TRACES_EXPORTER": "otlp"}, "node")[1] == "EXTRA_MISSING"


def test_a_failure_is_a_code_and_never_a_text() -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    traces = Traces(provider)
    with pytest.raises(DeliveryError), traces.call("/x/Send"), traces.step("submit"):
        raise DeliveryError("QUEUE_FULL", "CANARY")
    with pytest.raises(ZeroDivisionError), traces.step("broken"):
        raise ZeroDivisionError("CANARY")
    found = {span.name: dict(span.attributes or {}).get(CODE) for span in spans.get_finished_spans()}
    assert found == {"x/Send": "QUEUE_FULL", "step submit": "QUEUE_FULL", "step broken": "INTERNAL"}
    assert "CANARY" not in "".join(span.to_json() for span in spans.get_finished_spans())
