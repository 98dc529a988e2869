"""Telemetry to Application Insights: what Microsoft's exporter sends to an endpoint on this machine."""

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, override

ROOT = Path(__file__).resolve().parents[3]
KEY = "11111111-2222-3333-4444-555555555555"
#: What is sent in the background is sent now.
CODE = """
import logging
from opentelemetry import _logs, metrics, trace
from shared import telemetry
from shared.runtime.settings import Settings
from shared.runtime.telemetry import start
start(Settings())
with telemetry.span("plan", project="p", job="j"):
    telemetry.count("labelbridge.documents", 2, outcome="suggested")
    logging.getLogger("labelbridge.jobs").warning("Tried %d", 1)
for provider in (trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider()):
    provider.force_flush()
"""


@contextmanager
def ingestion() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a server that takes all telemetry, and what it has taken."""
    taken: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            items = json.loads(gzip.decompress(data) if self.headers["Content-Encoding"] == "gzip" else data)
            taken.extend(items)
            counts = {"itemsReceived": len(items), "itemsAccepted": len(items), "errors": []}
            body = json.dumps(counts).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", taken
        server.shutdown()


def test_spans_metrics_and_log_records_arrive_with_their_ids() -> None:
    with ingestion() as (address, taken):
        environment = {
            "APPLICATIONINSIGHTS_CONNECTION_STRING": f"InstrumentationKey={KEY};IngestionEndpoint={address}",
            "AzureWebJobsStorage": "UseDevelopmentStorage=true",
            # Azure Monitor's library sends five traces a second: the first is dropped if it begins in the first 0.2 s.
            "OTEL_TRACES_SAMPLER": "always_on",
            "PATH": "",
        }
        done = subprocess.run(
            [sys.executable, "-c", CODE],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
    assert "Telemetry is off" not in done.stderr
    [span] = [item for item in taken if item["data"]["baseData"].get("name") == "plan"]
    assert span["iKey"] == KEY
    assert span["tags"]["ai.cloud.role"] == "labelbridge"
    properties = span["data"]["baseData"]["properties"]
    assert (properties["labelbridge.project"], properties["labelbridge.job"]) == ("p", "j")
    [counted] = [
        (metric["value"], item["data"]["baseData"]["properties"])
        for item in taken
        for metric in item["data"]["baseData"].get("metrics", ())
        if metric["name"] == "labelbridge.documents"
    ]
    assert counted == (2, {"outcome": "suggested"})
    [record] = [item for item in taken if item["data"]["baseType"] == "MessageData"]
    assert record["tags"]["ai.operation.id"] == span["tags"]["ai.operation.id"]
    assert record["data"]["baseData"]["message"] == "Tried 1"
    ids = record["data"]["baseData"]["properties"]
    assert (ids["project"], ids["job"]) == ("p", "j")
