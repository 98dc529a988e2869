"""OpenTelemetry: to Application Insights when its connection string is set, to the console when a setting asks."""

import json
import logging
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast, override

from shared import telemetry
from shared.runtime.settings import Settings
from shared.telemetry import Attribute, Kind

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram

log = logging.getLogger("labelbridge")
SERVICE = "labelbridge"
#: Milliseconds between two exports of metrics to the console.
CONSOLE_PERIOD = 10_000
#: Attributes of spans that log records get, too; a record about one document has its id as `document`.
IDS = ("project", "job", "batch")
_ids: ContextVar[Mapping[str, Attribute]] = ContextVar("ids", default={})  # noqa: B039 - never changed


def start(settings: Settings) -> None:
    """Start recording, once per process. Without settings nothing is imported."""
    if settings.applicationinsights_connection_string:
        try:
            _start_azure_monitor(settings)
        except Exception as error:  # noqa: BLE001 - telemetry must not decide whether the app starts
            text = "Telemetry is off: APPLICATIONINSIGHTS_CONNECTION_STRING is not valid (%s)."
            log.error(text, type(error).__name__)  # noqa: TRY400 - the trace may have the value
            return
    elif settings.telemetry == "console":
        _start_console()
    else:
        return
    telemetry.install(OpenTelemetry())
    for handler in log.handlers:
        handler.addFilter(Ids())
    # The records are exported here with their ids; through the host they would arrive again without them.
    log.propagate = False


class Ids(logging.Filter):
    """Adds the ids of the enclosing spans to a record."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        for name, value in _ids.get().items():
            record.__dict__.setdefault(name, value)
        return True


class Lines(logging.Formatter):
    """A record as one line of JSON, with its ids and its trace."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        shown = {"level": record.levelname, "logger": record.name, "message": super().format(record)}
        ids = {name: record.__dict__[name] for name in (*IDS, "document") if name in record.__dict__}
        return json.dumps({**shown, **ids, "trace": telemetry.trace()})


def _start_azure_monitor(settings: Settings) -> None:
    from azure.identity import DefaultAzureCredential
    from azure.monitor import opentelemetry as monitor

    sign_in: dict[str, Any] = {}
    if settings.azurewebjobsstorage__accountname:  # an app with an identity sends with it
        client_id = settings.azurewebjobsstorage__clientid or None
        sign_in["credential"] = DefaultAzureCredential(managed_identity_client_id=client_id)
    libraries = ("azure_sdk", "django", "fastapi", "flask", "psycopg2", "requests", "urllib", "urllib3")
    cast("Any", monitor).configure_azure_monitor(
        connection_string=settings.applicationinsights_connection_string,
        logger_name=SERVICE,
        resource=_resource(),
        instrumentation_options={name: {"enabled": False} for name in libraries},
        **sign_in,
    )


def _start_console() -> None:
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

    resource = _resource()
    traces = TracerProvider(resource=resource)
    spans = ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: f"{span.to_json(indent=None)}\n")
    traces.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(traces)
    values = ConsoleMetricExporter(out=sys.stderr, formatter=lambda data: f"{data.to_json(indent=None)}\n")
    reader = PeriodicExportingMetricReader(values, export_interval_millis=CONSOLE_PERIOD)
    metrics.set_meter_provider(MeterProvider([reader], resource=resource))
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(Lines())
    log.addHandler(lines)


def _resource() -> Any:
    from opentelemetry.sdk.resources import Resource

    return Resource.create({"service.name": SERVICE})


class OpenTelemetry:
    """A `telemetry.Recorder` over the API of OpenTelemetry."""

    def __init__(self) -> None:
        from opentelemetry import metrics, trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._trace = trace
        self._tracer = trace.get_tracer(SERVICE)
        self._meter = metrics.get_meter(SERVICE)
        self._propagator = TraceContextTextMapPropagator()
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._kinds: dict[Kind, Any] = {
            "server": trace.SpanKind.SERVER,
            "consumer": trace.SpanKind.CONSUMER,
            "internal": trace.SpanKind.INTERNAL,
        }

    @contextmanager
    def span(self, name: str, kind: Kind, parent: str, attributes: dict[str, Attribute]) -> Generator[None]:
        context = self._propagator.extract({"traceparent": parent}) if parent else None
        named = {_qualified(key): value for key, value in attributes.items()}
        current = self._trace.get_current_span().get_span_context()
        links = [self._trace.Link(current)] if parent and current.is_valid else []
        before = _ids.set({**_ids.get(), **{key: attributes[key] for key in IDS if key in attributes}})
        try:
            with self._tracer.start_as_current_span(
                name,
                context,
                self._kinds[kind],
                named,
                links,
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                try:
                    yield
                except Exception as error:
                    span.record_exception(telemetry.without_message(error))
                    span.set_status(self._trace.StatusCode.ERROR, type(error).__name__)
                    raise
        finally:
            _ids.reset(before)

    def annotate(self, attributes: dict[str, Attribute]) -> None:
        span = self._trace.get_current_span()
        for key, value in attributes.items():
            span.set_attribute(_qualified(key), value)

    def trace(self) -> str:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier.get("traceparent", "")

    def count(self, name: str, value: float, attributes: dict[str, Attribute]) -> None:
        counter = self._counters.get(name)
        if counter is None:
            counter = self._counters[name] = self._meter.create_counter(name)
        counter.add(value, attributes)

    def measure(self, name: str, value: float, unit: str, attributes: dict[str, Attribute]) -> None:
        histogram = self._histograms.get(name)
        if histogram is None:
            histogram = self._histograms[name] = self._meter.create_histogram(name, unit)
        histogram.record(value, attributes)


def _qualified(key: str) -> str:
    return f"{SERVICE}.{key}"
