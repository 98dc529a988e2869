"""The trace of one upload, as the running host prints it with `TELEMETRY=console`: `pytest -s` shows it."""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Project, accept, client, unique
from tests.support.azurite import Azurite
from tests.support.events import CREATED, event, post
from tests.support.hosts import QUIET, running_host
from tests.support.waiting import eventually

type Span = dict[str, Any]
TEXT = "@Refund:73 secret words"
#: No sweep, which would plan in a trace of its own.
SETTINGS = {"TELEMETRY": "console", "SWEEP_SCHEDULE": "0 0 0 1 1 *"}


@pytest.mark.timeout(300)
async def test_one_upload_is_one_trace_across_three_queues_to_the_saved_label(
    azurite: Azurite, tmp_path: Path
) -> None:
    prefix = unique("t").replace("-", "")[:12]
    with running_host(azurite, prefix, tmp_path, SETTINGS) as host:
        async with azurite.storage(prefix) as clients, client(host.url) as http:
            project = Project(http, clients.blobs, unique("p"), unique(QUIET))
            await clients.blobs.create_container(project.container)
            await project.create()
            await project.define("Refund")
            await http.patch(project.path, json={"settings": {"autolabel": {"onUpload": True}}})
            await project.upload({"a.txt": TEXT})
            assert await post(http, event(CREATED, project.container, "a.txt")) in {200, 202}

            async def suggested() -> dict[str, Any] | None:
                found = await project.documents(status="autoLabeled")
                return found[0] if found else None

            document = await eventually("a suggestion", suggested)
            [saved] = await project.review([accept(document)])
            assert saved["status"] == "saved"

        async def printed() -> list[Span] | None:
            """Spans are printed as they end, which may be after the answer to a request; metrics every 10 s."""
            spans = spans_of(host.log)
            ended = {"save labels", "batch autolabel"} <= {span["name"] for span in spans}
            return spans if ended and '"labelbridge.storage.calls"' in host.log.read_text("utf-8") else None

        spans = await eventually("the spans", printed)

    [root] = [span for span in spans if span["name"] == "storage event"]
    ours = [span for span in spans if span["context"]["trace_id"] == root["context"]["trace_id"]]
    sys.stdout.write("\n".join(["", *tree(ours, root), ""]))
    to_the_fit = "storage event > plan > job fit"
    assert {
        "storage event > plan > batch register > read texts",
        f"{to_the_fit} > fit",
        f"{to_the_fit} > plan > batch autolabel > read texts",
        f"{to_the_fit} > plan > batch autolabel > predict",
        f"{to_the_fit} > plan > save labels",
    } <= paths(ours)
    assert "secret" not in host.log.read_text("utf-8")


def spans_of(log: Path) -> list[Span]:
    lines = (line for line in log.read_text("utf-8").splitlines() if line.startswith("{"))
    return [span for line in lines if "context" in (span := json.loads(line))]


def paths(spans: list[Span]) -> set[str]:
    """Each span with those above it, by their names."""
    by_id = {span["context"]["span_id"]: span for span in spans}

    def path(span: Span) -> str:
        above = by_id.get(span["parent_id"])
        return f"{path(above)} > {span['name']}" if above else span["name"]

    return {path(span) for span in spans}


def tree(spans: list[Span], root: Span, depth: int = 0) -> list[str]:
    """The span and those below it, a line each, with duration and ids, in the order in which they began."""
    named = (("job", "labelbridge.job"), ("batch", "labelbridge.batch"))
    ids = [
        f"{word} {root['attributes'][key]}" for word, key in named if root["attributes"].get(key) is not None
    ]
    lines = [", ".join([f"{'  ' * depth}{root['name']} {_milliseconds(root)} ms", *ids])]
    for span in sorted(spans, key=lambda span: span["start_time"]):
        if span["parent_id"] == root["context"]["span_id"]:
            lines += tree(spans, span, depth + 1)
    return lines


def _milliseconds(span: Span) -> int:
    begun, ended = (datetime.fromisoformat(span[key]) for key in ("start_time", "end_time"))
    return round((ended - begun).total_seconds() * 1000)
