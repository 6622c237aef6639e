"""Spans of two real nodes: every call and every step of a bulletin's way, and nothing of its content."""

from __future__ import annotations

import json

import pytest

from intelshare.node.traces import METHOD, Traces
from intelshare.wire.v1 import user_pb2 as pb
from node_world import Site, until, word

pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

CANARY = "canary-9f1c"


def watched(site: Site) -> InMemorySpanExporter:
    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    site.running.runtime.traces = Traces(provider)
    return spans


def names(spans: InMemorySpanExporter) -> set[str]:
    return {span.name for span in spans.get_finished_spans()}


async def test_a_bulletin_leaves_spans_with_names_and_codes_only(pair: tuple[Site, Site]) -> None:
    fra, usa = pair
    sent, taken = watched(fra), watched(usa)
    async with fra.client("a") as analyst:
        bulletin = (await analyst.send(["USA"], CANARY)).bulletin

        async def accepted() -> bool:
            return await word(fra, bulletin, "USA") == "accepted"

        await until(accepted, "it to be accepted")
    async with usa.client("a") as reader:
        await reader.bulletins.Read(pb.ReadRequest(id=bulletin.hex()))
    assert {"step submit", "step handover", "step receive"} <= names(sent) | names(taken)
    assert {"intelshare.v1.Bulletins/Submit"} <= names(sent)
    submit = next(span for span in sent.get_finished_spans() if span.name == "step submit")
    call = next(span for span in sent.get_finished_spans() if span.name.endswith("Bulletins/Submit"))
    assert submit.parent is not None
    assert submit.parent.span_id == call.get_span_context().span_id
    for span in (*sent.get_finished_spans(), *taken.get_finished_spans()):
        assert_says_nothing(span, bulletin)
    # The trace of one member is not that of another: no context travels.
    assert not traces_in(sent) & traces_in(taken)


def traces_in(spans: InMemorySpanExporter) -> set[int]:
    return {span.get_span_context().trace_id for span in spans.get_finished_spans()}


def assert_says_nothing(span: ReadableSpan, bulletin: bytes) -> None:
    assert set(span.attributes or {}) <= {"rpc.system", METHOD, "intelshare.code"}
    assert not span.events
    assert span.status.description is None
    shown = json.dumps(json.loads(span.to_json()))
    for secret in (CANARY, "SECRET", "USA", bulletin.hex()):
        assert secret not in shown
