"""What the app records of itself: one trace from an upload to its suggestion, across the queues, without text."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared import telemetry
from shared.domain.document import document_id, parse_version
from shared.domain.jobs import JobStatus
from shared.domain.names import WORK_QUEUE
from shared.domain.review import Decision
from shared.runtime.telemetry import Ids, OpenTelemetry
from shared.services.jobs.dispatch import PAUSES
from shared.services.jobs.lifecycle import parse
from shared.services.review.bulk import BulkRequest
from shared.services.review.service import Submitted
from shared.storage.gateways.ports import StorageUnavailable
from shared.wire.documents import etag
from tests.support.engines import ScriptedModel
from tests.support.services import App, in_process
from tests.support.storage.memory import MemoryStorage

ROOT = Path(__file__).parents[3]


class Seen:
    """What was recorded."""

    def __init__(self) -> None:
        self.spans = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.traces = TracerProvider()
        self.traces.add_span_processor(SimpleSpanProcessor(self.spans))
        self.values = MeterProvider([self.reader])

    def metrics(self) -> dict[str, list[tuple[dict[str, Any], Any]]]:
        """Points by metric: attributes, and the sum or the histogram."""
        data = self.reader.get_metrics_data()
        found: dict[str, list[tuple[dict[str, Any], Any]]] = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points = [(dict(point.attributes or {}), point) for point in metric.data.data_points]
                    found[metric.name] = points
        return found


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    made = Seen()
    monkeypatch.setattr(trace, "get_tracer", made.traces.get_tracer)
    monkeypatch.setattr(metrics, "get_meter", made.values.get_meter)
    telemetry.install(OpenTelemetry())
    yield made
    telemetry.install(None)


@pytest.fixture
def app() -> App:
    return in_process(MemoryStorage())


def _ancestors(span: ReadableSpan, spans: dict[int, ReadableSpan]) -> list[str]:
    names = [span.name]
    while span.parent is not None and span.parent.span_id in spans:
        span = spans[span.parent.span_id]
        names.append(span.name)
    return names


async def test_one_trace_leads_from_an_upload_to_its_suggestion(app: App, seen: Seen) -> None:
    await app.create()
    await app.define("Refund")
    seen.spans.clear()
    with telemetry.span("upload"):
        await app.upload({"a.txt": "@Refund:73 secret words"})
    await app.drain()

    spans = seen.spans.get_finished_spans()
    by_id = {span.context.span_id: span for span in spans if span.context is not None}
    [predicted] = [span for span in spans if span.name == "predict"]
    assert _ancestors(predicted, by_id) == ["predict", "batch autolabel", "plan", "job fit", "plan", "upload"]
    assert len({span.context.trace_id for span in spans if span.context}) == 1
    assert "secret" not in "".join(span.to_json() for span in spans)


async def test_the_trace_of_an_upload_ends_with_the_saved_label(app: App, seen: Seen) -> None:
    await app.create()
    await app.define("Refund")
    with telemetry.span("upload"):
        await app.upload({"a.txt": "@Refund:73", "b.txt": "@Refund:74"})
    await app.drain()
    for name in ("a.txt", "b.txt"):
        document = await app.document(name)
        assert document is not None
        submitted = [
            Submitted(Decision(document_id(name), accept_all=True), parse_version(etag(document, 0)))
        ]
        for _ in range(2):  # the second one finds a conflict and saves nothing
            with telemetry.span(f"review {name}"):
                await app.container.review.save("p", submitted, "me")

    spans = seen.spans.get_finished_spans()
    by_id = {span.context.span_id: span for span in spans if span.context is not None}
    saved = [span for span in spans if span.name == "save labels"]
    assert len(saved) == 2
    for span, name in zip(saved, ("a.txt", "b.txt"), strict=True):
        first, second, *_, last = _ancestors(span, by_id)
        assert (first, second, last) == ("save labels", "plan", "upload")
        [link] = span.links
        assert by_id[link.context.span_id].name == f"review {name}"
        assert span.attributes is not None
        assert span.attributes["labelbridge.documents"] == 1


async def test_the_traces_of_uploads_end_with_a_bulk_decision(app: App, seen: Seen) -> None:
    await app.create()
    await app.define("Refund")
    for name in ("a.txt", "b.txt"):
        with telemetry.span(f"upload {name}"):
            await app.upload({name: "@Refund:73"})
        await app.drain()
    with telemetry.span("accept"):
        await app.container.bulk.start("p", BulkRequest(accept=True), "me", "bulk")

    spans = seen.spans.get_finished_spans()
    by_id = {span.context.span_id: span for span in spans if span.context is not None}
    saved = [span for span in spans if span.name == "save labels"]
    assert {_ancestors(span, by_id)[-1] for span in saved} == {"upload a.txt", "upload b.txt"}
    assert [_ancestors(by_id[link.context.span_id], by_id)[-1] for span in saved for link in span.links] == [
        "accept",
        "accept",
    ]
    assert [span.attributes["labelbridge.documents"] for span in saved if span.attributes] == [1, 1]


async def test_a_save_does_not_fail_for_its_trace(
    app: App, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.create()
    await app.define("Refund")
    await app.upload({"a.txt": "@Refund:73"})
    await app.drain()
    document = await app.document("a.txt")
    assert document is not None

    async def unavailable(*_: object) -> None:
        raise StorageUnavailable

    monkeypatch.setattr(app.container.stores.jobs, "find", unavailable)
    decision = Decision(document_id("a.txt"), accept_all=True)
    submitted = [Submitted(decision, parse_version(etag(document, 0)))]
    _, [result] = await app.container.review.save("p", submitted, "me")
    assert result.status == "saved"


async def test_metrics_count_documents_decisions_jobs_and_times(app: App, seen: Seen) -> None:
    await app.create()
    await app.define("Refund")
    await app.upload({"a.txt": "@Refund:73"})
    await app.drain()
    document = await app.document("a.txt")
    assert document is not None
    decision = Decision(document_id("a.txt"), accept_all=True)
    await app.container.review.save("p", [Submitted(decision, parse_version(etag(document, 0)))], "me")

    found = seen.metrics()
    assert {"outcome": "suggested"} in [attributes for attributes, _ in found["labelbridge.documents"]]
    [(attributes, point)] = found["labelbridge.suggestions"]
    assert (attributes, point.value) == ({"decision": "accepted"}, 1)
    assert found["labelbridge.fit.duration"][0][1].count == 1
    assert found["labelbridge.predict.duration"][0][1].count == 1
    kinds = {
        (attributes["kind"], attributes["status"]) for attributes, _ in found["labelbridge.job.duration"]
    }
    assert {("fit", "succeeded"), ("autolabel", "succeeded")} <= kinds


async def test_messages_from_a_poison_queue_are_counted(app: App, seen: Seen) -> None:
    queues = app.container.stores.queues
    await queues.send(f"{WORK_QUEUE}-poison", "not a message")
    await app.container.queue_sweep.run("document_uploaded")
    await app.container.queue_sweep.run("document_uploaded")
    [(attributes, point)] = seen.metrics()["labelbridge.poison_messages"]
    assert (attributes, point.value) == ({"queue": WORK_QUEUE}, 1)


async def test_log_records_have_ids_and_never_the_text_that_an_engine_quotes(
    app: App, seen: Seen, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def predict(_: ScriptedModel, texts: Sequence[str]) -> None:
        raise ValueError(f"cannot read {texts}") from LookupError(texts[0])

    await app.create()
    await app.define("Refund")
    monkeypatch.setattr(ScriptedModel, "predict", predict)
    seen.spans.clear()
    await app.upload({"a.txt": "@Refund:73 secret words"})
    with caplog.filtering(Ids()), caplog.at_level(logging.WARNING):
        while app.sent.waiting:
            await app.container.dispatcher.run_or_retry(parse(app.sent.waiting.popleft()[1]))

    records = [record.__dict__ for record in caplog.records]
    assert len(records) == len(PAUSES) + 1 + 2  # a try each; the last predicts text by text
    [job] = [job for job in await app.jobs() if job.status is JobStatus.FAILED]
    places = [(entry["project"], entry["job"], entry["batch"]) for entry in records]
    assert places == [("p", job.id, 0)] * len(records)
    assert [entry["document"] for entry in records if "document" in entry] == [document_id("a.txt")]
    spans = "".join(span.to_json() for span in seen.spans.get_finished_spans())
    for written in (caplog.text, spans):
        assert "secret" not in written
        assert "LookupError" in written, "what is known of the cause"
        assert "ValueError" in written
        assert "in predict" in written, "the stack"
    assert sum(bool(entry["exc_info"]) for entry in records) == 1


async def test_without_a_recorder_messages_carry_no_trace(app: App) -> None:
    await app.create()
    await app.upload({"a.txt": "text"})
    assert all('"trace":""' in body for _, body in app.sent.waiting)


def test_without_settings_nothing_of_opentelemetry_is_imported() -> None:
    code = "import sys, function_app; print([name for name in sys.modules if 'opentelemetry' in name])"
    environment = {"AzureWebJobsStorage": "UseDevelopmentStorage=true", "AUTH_MODE": "local", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_console_gets_a_span_on_one_line() -> None:
    code = (
        "import logging\n"
        "from shared import telemetry\n"
        "from shared.runtime.settings import Settings\n"
        "from shared.runtime.telemetry import start\n"
        "start(Settings(azurewebjobsstorage='UseDevelopmentStorage=true', telemetry='console'))\n"
        "with telemetry.span('a job', project='p', job='j'):\n"
        "    logging.getLogger('labelbridge.jobs').warning('Tried %d', 1, extra={'document': 'd'})\n"
        "    telemetry.count('labelbridge.documents', outcome='suggested')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, env={"PATH": ""}
    )
    [line] = [line for line in done.stderr.splitlines() if '"name": "a job"' in line]
    assert '"labelbridge.project": "p"' in line
    assert '"labelbridge.documents"' in done.stderr
    [logged] = [json.loads(line) for line in done.stderr.splitlines() if '"Tried 1"' in line]
    assert json.loads(line)["context"]["trace_id"].removeprefix("0x") in logged.pop("trace")
    assert logged == {
        "level": "WARNING",
        "logger": "labelbridge.jobs",
        "message": "Tried 1",
        "project": "p",
        "job": "j",
        "document": "d",
    }
