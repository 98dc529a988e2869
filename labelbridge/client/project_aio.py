"""The asynchronous client of one project and of jobs. `project_sync.py` is made from this file by
`python -m scripts.unasync`; change this one.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack
from urllib.parse import quote

import httpx

from labelbridge.client import models as m
from labelbridge.client.checks import checked, job_state
from labelbridge.client.errors import ApiError, JobFailed, TimedOut, foreign
from labelbridge.client.parts import MOST_PARTS, DocumentFilters, has_next_part, in_camel_case, joined_parts
from labelbridge.client.team_aio import AsyncTeamOperations

if TYPE_CHECKING:
    from labelbridge.client.aio import AsyncClient

PROJECTS = "/language/authoring/analyze-text/projects"
#: Pauses between two polls of a job grow from the first to the second, in seconds.
POLL = (0.1, 2.0)

type Json = Any


class _Categories(TypedDict):
    value: list[m.Category]


class _Engines(TypedDict):
    value: list[m.Engine]


class _ConnectionEvents(TypedDict):
    value: list[m.ConnectionEvent]


class _Results(TypedDict):
    results: list[m.ReviewResult]


class _Count(TypedDict):
    count: int


class AsyncJob:
    """A long-running operation. `url` is where its state is; `id` the last part of it."""

    def __init__(self, client: "AsyncClient", url: str) -> None:
        self._client = client
        self.url = url

    @property
    def id(self) -> str:
        return httpx.URL(self.url).path.removesuffix("/cancellation").rsplit("/", 1)[-1]

    async def state(self) -> m.JobState:
        return job_state(await self._client.call("GET", self.url), m.JobState)

    async def wait(
        self,
        seen: Callable[[m.JobState], object] | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - of a job on the server, which goes on
        poll: tuple[float, float] = POLL,
    ) -> m.JobState:
        """The state when the job has succeeded; `seen` gets every state until then.

        Raises JobFailed when it ended otherwise, also `partiallyCompleted`; TimedOut after `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause, longest = poll
        while True:
            state = await self.state()
            if seen is not None:
                seen(state)
            if state["status"] == "succeeded":
                return state
            if state["status"] in m.ENDED:
                raise JobFailed(state)
            if deadline is not None and time.monotonic() > deadline:
                raise TimedOut(
                    f"The job {self.id} has not ended within {timeout:g} s; it is '{state['status']}'."
                )
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, longest)


class AsyncProjectClient(AsyncTeamOperations):
    """The operations of one project. A method that starts a job returns it; `await job.wait()` follows it.

    `key` is an `Idempotency-Key` of your own: the same request with the same key is done once.
    """

    def __init__(self, client: "AsyncClient", name: str) -> None:
        self.client = client
        self.name = name
        self.path = f"{PROJECTS}/{quote(name, safe='')}"

    async def _get[T](self, rest: str, kind: type[T], **params: Any) -> T:
        return checked(await self.client.call("GET", f"{self.path}{rest}", params=params), kind)

    async def _post[T](self, rest: str, kind: type[T], body: Json = None, key: str | None = None) -> T:
        return checked(await self._send(rest, body, key), kind)

    def _jobs(self, path: str) -> AsyncIterator[m.JobState]:
        return self.client.pages(f"{self.path}/{path}", m.JobState)

    async def _start(self, rest: str, body: Json = None, key: str | None = None, **params: Any) -> AsyncJob:
        return self._job(await self._send(rest, body, key, **params))

    async def _send(self, rest: str, body: Json, key: str | None, **params: Any) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else None
        return await self.client.call("POST", f"{self.path}{rest}", body=body, headers=headers, params=params)

    def _job(self, answer: httpx.Response) -> AsyncJob:
        if "operation-location" not in answer.headers:
            raise foreign(answer)
        return AsyncJob(self.client, answer.headers["operation-location"])

    def job(self, kind: str, job_id: str) -> AsyncJob:
        """A job by the path of its kind, such as `autolabel` or `documents/scan`."""
        return AsyncJob(self.client, f"{self.path}/{kind}/{quote(job_id, safe='')}")

    # The project

    async def get(self) -> m.Project:
        return await self._get("", m.Project)

    async def put(self, body: m.ProjectBody) -> m.Project:
        """Create the project, or change what the body names."""
        return checked(await self.client.call("PATCH", self.path, body=body), m.Project)

    async def delete(self) -> AsyncJob:
        return self._job(await self.client.call("DELETE", self.path, repeatable=False))

    async def deletion(self, job_id: str) -> m.JobState:
        path = f"{PROJECTS}/global/deletion-jobs/{quote(job_id, safe='')}"
        return job_state(await self.client.call("GET", path), m.JobState)

    async def statistics(self) -> m.Statistics:
        return await self._get("/statistics", m.Statistics)

    async def categories(self) -> list[m.Category]:
        return (await self._get("/categories", _Categories))["value"]

    async def put_categories(self, items: Sequence[m.CategoryItem]) -> list[m.Category]:
        again = not any(item.get("previousCategory") for item in items)
        path, body = f"{self.path}/categories", {"value": list(items)}
        answer = await self.client.call("PUT", path, body=body, repeatable=again)
        return checked(answer, _Categories)["value"]

    async def remove_categories(self, names: Sequence[str]) -> list[m.Category]:
        return (await self._post("/categories/:remove", _Categories, {"categories": list(names)}))["value"]

    async def guidelines(self) -> m.Guidelines:
        """The labeling guidelines, Markdown; version 0 when there are none."""
        return await self._get("/guidelines", m.Guidelines)

    async def guideline_version(self, version: int) -> m.Guidelines:
        """An earlier version of the guidelines."""
        return await self._get(f"/guidelines/versions/{version}", m.Guidelines)

    def guideline_versions(self) -> AsyncIterator[m.GuidelineVersion]:
        """The versions without their texts, newest first."""
        return self.client.pages(f"{self.path}/guidelines/versions", m.GuidelineVersion)

    async def put_guidelines(self, text: str, *, read: m.Guidelines | None = None) -> m.Guidelines:
        """Replace the guidelines. With `read`, raises ApiError 409 if someone else changed them since."""
        headers = {"If-Match": f'"{read["version"]}"' if read else "*"}
        answer = await self.client.call(
            "PUT", f"{self.path}/guidelines", body={"text": text}, headers=headers
        )
        return checked(answer, m.Guidelines)

    # Documents

    def documents(
        self, *, orderby: str | None = None, top: int = 1000, **filters: Unpack[DocumentFilters]
    ) -> AsyncIterator[m.Document]:
        """The documents that match, through all pages of `top`. `orderby`: id, location or uncertainty."""
        wanted = {**in_camel_case(filters), "orderby": orderby, "top": top}
        return self.client.pages(f"{self.path}/documents", m.Document, **wanted)

    async def count_documents(self, **filters: Unpack[DocumentFilters]) -> int:
        """How many documents match."""
        page = await self._get("/documents", _Count, **in_camel_case(filters), count="true", top=1)
        return page["count"]

    async def search(self, body: m.SearchBody) -> m.SearchAnswer:
        """The next matches in the texts of documents, and how many documents were searched."""
        return await self._post("/documents/:search", m.SearchAnswer, body)

    async def document(self, document_id: str) -> m.Document:
        return await self._get(f"/documents/{document_id}", m.Document)

    async def text(self, document_id: str) -> str:
        path, headers = f"{self.path}/documents/{document_id}/text", {"Accept": "text/plain"}
        answer = await self.client.call("GET", path, headers=headers)
        try:
            return answer.content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise foreign(answer, "the text is not UTF-8") from error

    def history(self, document_id: str) -> AsyncIterator[m.HistoryItem]:
        return self.client.pages(f"{self.path}/documents/{document_id}/history", m.HistoryItem)

    async def set_labels(self, document: m.Document, labels: m.Labels) -> m.Document:
        """Label a document by hand, as it was read. Raises ApiError 409 if someone else changed it since."""
        return await self._change("PUT", document, "/labels", labels)

    async def patch(self, document: m.Document, body: m.DocumentPatchBody) -> m.Document:
        """Set dataset, language, flag or note, or confirm the labels of changed content."""
        return await self._change("PATCH", document, "", body)

    async def _change(
        self, method: str, document: m.Document, rest: str, body: Mapping[str, object]
    ) -> m.Document:
        path, match = f"{self.path}/documents/{document['id']}{rest}", {"If-Match": document["eTag"]}
        try:
            return checked(await self.client.call(method, path, body=body, headers=match), m.Document)
        except ApiError as error:
            now = error.document
            # A repeat of a change whose answer was lost meets that change.
            if (
                error.repeated
                and error.status == 409
                and now
                and all(now.get(k) == v for k, v in body.items())
            ):
                return now
            raise

    async def undo(self, document_id: str) -> m.Document:
        return await self._post(f"/documents/{document_id}/:undo", m.Document)

    async def scan(self, *, confirm_removals: bool = False) -> AsyncJob:
        return await self._start("/documents/:scan", {"confirmRemovals": confirm_removals})

    # Review

    async def review(
        self, decisions: Sequence[m.Decision], *, key: str | None = None
    ) -> list[m.ReviewResult]:
        """Save the decisions on up to 100 documents; one result per document, in their order."""
        body = {"decisions": list(decisions)}
        return (await self._post("/documents/:review", _Results, body, key))["results"]

    async def review_all(self, body: m.BulkBody, *, key: str | None = None) -> AsyncJob:
        """Accept or reject every suggestion that matches; with `dryRun`, only count them."""
        return await self._start("/documents/:review-all", body, key)

    async def undo_review(self, job_id: str) -> AsyncJob:
        return await self._start(f"/review/jobs/{job_id}/:undo")

    def review_jobs(self) -> AsyncIterator[m.JobState]:
        return self._jobs("review/jobs")

    # Suggestions

    async def autolabel(self, body: m.AutolabelBody | None = None, *, key: str | None = None) -> AsyncJob:
        """Start a job that makes suggestions; by default for every unlabeled document."""
        return await self._start("/autolabel/jobs", body or {}, key)

    async def estimate(self, body: m.AutolabelBody | None = None) -> m.Estimate:
        return await self._post("/autolabel/:estimate", m.Estimate, body or {})

    async def engines(self) -> list[m.Engine]:
        """The engines, with the counts of each one's suggestions."""
        return (await self._get("/engines", _Engines))["value"]

    def autolabel_jobs(self) -> AsyncIterator[m.JobState]:
        return self._jobs("autolabel/jobs")

    def fits(self) -> AsyncIterator[m.JobState]:
        return self._jobs("autolabel/fits")

    def outcomes(self, job_id: str, *, outcome: m.Outcome | None = None) -> AsyncIterator[m.DocumentOutcome]:
        path = f"{self.path}/autolabel/jobs/{job_id}/documents"
        return self.client.pages(path, m.DocumentOutcome, outcome=outcome)

    async def cancel_autolabel(self, job_id: str) -> AsyncJob:
        return await self._start(f"/autolabel/jobs/{job_id}/:cancel")

    async def retry_autolabel(self, job_id: str) -> AsyncJob:
        return await self._start(f"/autolabel/jobs/{job_id}/:retry")

    # Training

    async def train(self, body: m.TrainBody, *, key: str | None = None) -> AsyncJob:
        """Train a model; suggestions that were not accepted are removed."""
        return await self._start("/:train", body, key)

    def train_jobs(self) -> AsyncIterator[m.JobState]:
        return self._jobs("train/jobs")

    async def cancel_train(self, job_id: str) -> AsyncJob:
        return await self._start(f"/train/jobs/{job_id}/:cancel")

    def models(self) -> AsyncIterator[m.TrainedModel]:
        return self.client.pages(f"{self.path}/models", m.TrainedModel)

    async def model(self, label: str) -> m.TrainedModel:
        return await self._get(f"/models/{label}", m.TrainedModel)

    async def delete_model(self, label: str) -> None:
        try:
            await self.client.call("DELETE", f"{self.path}/models/{label}")
        except ApiError as error:
            if not (error.repeated and error.status == 404 and not error.from_host):
                raise

    async def evaluation_summary(self, label: str) -> m.EvaluationSummary:
        return await self._get(f"/models/{label}/evaluation/summary-result", m.EvaluationSummary)

    def evaluation_result(self, label: str) -> AsyncIterator[m.DocumentEvaluation]:
        path = f"{self.path}/models/{label}/evaluation/result"
        return self.client.pages(path, m.DocumentEvaluation, stringIndexType="Utf16CodeUnit")

    async def evaluate(self, label: str, options: m.EvaluationOptions | None = None) -> AsyncJob:
        return await self._start(f"/models/{label}/:evaluate", options or {})

    # Azure Language

    async def push_target(self) -> m.PushTarget:
        """Where a push would go, and whether it can."""
        return await self._get("/push", m.PushTarget)

    async def push(self, body: m.PushBody | None = None, *, key: str | None = None) -> AsyncJob:
        """Import the project into an Azure Language resource, train and deploy a model there, and suggest with it.

        A project of that name in the resource is replaced.
        """
        return await self._start("/:push", body or {}, key)

    def push_jobs(self) -> AsyncIterator[m.JobState]:
        return self._jobs("push/jobs")

    async def cancel_push(self, job_id: str) -> AsyncJob:
        return await self._start(f"/push/jobs/{job_id}/:cancel")

    # m.Project files

    async def export(self) -> AsyncJob:
        return await self._start("/:export", stringIndexType="Utf16CodeUnit")

    async def export_state(self, job_id: str) -> m.ExportJobState:
        answer = await self.client.call("GET", f"{self.path}/export/jobs/{job_id}")
        return job_state(answer, m.ExportJobState)

    async def export_result(self, job_id: str) -> bytes:
        """The project file of an export that succeeded: JSON in UTF-8. The parts of a large one are put together."""
        path, parts = f"{self.path}/export/jobs/{job_id}/result", list[bytes]()
        while True:
            answer = await self.client.call("GET", path, params={"part": len(parts) or None})
            if answer.content in parts[-1:] or len(parts) == MOST_PARTS:
                raise foreign(answer, "the export never ends")
            parts.append(answer.content)
            if has_next_part(answer.content):
                continue
            try:
                return joined_parts(parts)
            except ValueError as error:
                raise foreign(answer, "it is not a project file") from error

    async def import_file(self, file: Mapping[str, Any], *, key: str | None = None) -> AsyncJob:
        """Create the project from a project file, or replace it."""
        return await self._start("/:import", file, key)

    async def import_labels(self, body: m.ImportLabelsBody, *, key: str | None = None) -> AsyncJob:
        """Create the project from a label file of Azure Machine Learning in the storage account."""
        return await self._start("/:import-labels", body, key)

    # The connection to another labeling studio

    async def connection(self) -> m.Connection:
        return await self._get("/connection", m.Connection)

    async def check_connection(self, body: m.ConnectBody) -> m.CheckAnswer:
        """All conditions of connecting, without changing anything."""
        return await self._post("/connection/:check", m.CheckAnswer, body)

    async def connect(self, body: m.ConnectBody, *, key: str | None = None) -> AsyncJob:
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return self._job(await self.client.call("PUT", f"{self.path}/connection", body=body, headers=headers))

    async def switch(self, to: m.Studio, *, key: str | None = None) -> AsyncJob:
        return await self._start("/connection/:switch", {"to": to}, key)

    async def sync(self, *, key: str | None = None) -> AsyncJob:
        return await self._start("/connection/:sync", key=key)

    async def disconnect(
        self, confirm: str, *, discard_unsynced_labels: bool = False, key: str | None = None
    ) -> AsyncJob:
        """Disconnect permanently. `confirm` is the name of the labeling project."""
        body = {"confirm": confirm, "discardUnsyncedLabels": discard_unsynced_labels}
        return await self._start("/connection/:disconnect", body, key)

    async def connection_history(self) -> list[m.ConnectionEvent]:
        return (await self._get("/connection/history", _ConnectionEvents))["value"]

    async def cancellation(self, kind: str, job_id: str) -> m.JobState:
        """The state of a cancellation; `kind` is `autolabel`, `train` or `push`."""
        answer = await self.client.call("GET", f"{self.path}/{kind}/jobs/{job_id}/cancellation")
        return job_state(answer, m.JobState)
