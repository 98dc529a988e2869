"""The synchronous client, made from `project_aio.py` by `python -m scripts.unasync`; do not change it."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack
from urllib.parse import quote

import httpx

from labelbridge.client import models as m
from labelbridge.client.checks import checked, job_state
from labelbridge.client.errors import ApiError, JobFailed, TimedOut, foreign
from labelbridge.client.parts import MOST_PARTS, DocumentFilters, has_next_part, in_camel_case, joined_parts
from labelbridge.client.team_sync import TeamOperations

if TYPE_CHECKING:
    from labelbridge.client.sync import Client

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


class Job:
    """A long-running operation. `url` is where its state is; `id` the last part of it."""

    def __init__(self, client: "Client", url: str) -> None:
        self._client = client
        self.url = url

    @property
    def id(self) -> str:
        return httpx.URL(self.url).path.removesuffix("/cancellation").rsplit("/", 1)[-1]

    def state(self) -> m.JobState:
        return job_state(self._client.call("GET", self.url), m.JobState)

    def wait(
        self,
        seen: Callable[[m.JobState], object] | None = None,
        *,
        timeout: float | None = None,
        poll: tuple[float, float] = POLL,
    ) -> m.JobState:
        """The state when the job has succeeded; `seen` gets every state until then.

        Raises JobFailed when it ended otherwise, also `partiallyCompleted`; TimedOut after `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause, longest = poll
        while True:
            state = self.state()
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
            time.sleep(pause)
            pause = min(pause * 1.5, longest)


class ProjectClient(TeamOperations):
    """The operations of one project. A method that starts a job returns it; `job.wait()` follows it.

    `key` is an `Idempotency-Key` of your own: the same request with the same key is done once.
    """

    def __init__(self, client: "Client", name: str) -> None:
        self.client = client
        self.name = name
        self.path = f"{PROJECTS}/{quote(name, safe='')}"

    def _get[T](self, rest: str, kind: type[T], **params: Any) -> T:
        return checked(self.client.call("GET", f"{self.path}{rest}", params=params), kind)

    def _post[T](self, rest: str, kind: type[T], body: Json = None, key: str | None = None) -> T:
        return checked(self._send(rest, body, key), kind)

    def _jobs(self, path: str) -> Iterator[m.JobState]:
        return self.client.pages(f"{self.path}/{path}", m.JobState)

    def _start(self, rest: str, body: Json = None, key: str | None = None, **params: Any) -> Job:
        return self._job(self._send(rest, body, key, **params))

    def _send(self, rest: str, body: Json, key: str | None, **params: Any) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else None
        return self.client.call("POST", f"{self.path}{rest}", body=body, headers=headers, params=params)

    def _job(self, answer: httpx.Response) -> Job:
        if "operation-location" not in answer.headers:
            raise foreign(answer)
        return Job(self.client, answer.headers["operation-location"])

    def job(self, kind: str, job_id: str) -> Job:
        """A job by the path of its kind, such as `autolabel` or `documents/scan`."""
        return Job(self.client, f"{self.path}/{kind}/{quote(job_id, safe='')}")

    # The project

    def get(self) -> m.Project:
        return self._get("", m.Project)

    def put(self, body: m.ProjectBody) -> m.Project:
        """Create the project, or change what the body names."""
        return checked(self.client.call("PATCH", self.path, body=body), m.Project)

    def delete(self) -> Job:
        return self._job(self.client.call("DELETE", self.path, repeatable=False))

    def deletion(self, job_id: str) -> m.JobState:
        path = f"{PROJECTS}/global/deletion-jobs/{quote(job_id, safe='')}"
        return job_state(self.client.call("GET", path), m.JobState)

    def statistics(self) -> m.Statistics:
        return self._get("/statistics", m.Statistics)

    def categories(self) -> list[m.Category]:
        return self._get("/categories", _Categories)["value"]

    def put_categories(self, items: Sequence[m.CategoryItem]) -> list[m.Category]:
        again = not any(item.get("previousCategory") for item in items)
        path, body = f"{self.path}/categories", {"value": list(items)}
        answer = self.client.call("PUT", path, body=body, repeatable=again)
        return checked(answer, _Categories)["value"]

    def remove_categories(self, names: Sequence[str]) -> list[m.Category]:
        return self._post("/categories/:remove", _Categories, {"categories": list(names)})["value"]

    def guidelines(self) -> m.Guidelines:
        """The labeling guidelines, Markdown; version 0 when there are none."""
        return self._get("/guidelines", m.Guidelines)

    def guideline_version(self, version: int) -> m.Guidelines:
        """An earlier version of the guidelines."""
        return self._get(f"/guidelines/versions/{version}", m.Guidelines)

    def guideline_versions(self) -> Iterator[m.GuidelineVersion]:
        """The versions without their texts, newest first."""
        return self.client.pages(f"{self.path}/guidelines/versions", m.GuidelineVersion)

    def put_guidelines(self, text: str, *, read: m.Guidelines | None = None) -> m.Guidelines:
        """Replace the guidelines. With `read`, raises ApiError 409 if someone else changed them since."""
        headers = {"If-Match": f'"{read["version"]}"' if read else "*"}
        answer = self.client.call("PUT", f"{self.path}/guidelines", body={"text": text}, headers=headers)
        return checked(answer, m.Guidelines)

    # Documents

    def documents(
        self, *, orderby: str | None = None, top: int = 1000, **filters: Unpack[DocumentFilters]
    ) -> Iterator[m.Document]:
        """The documents that match, through all pages of `top`. `orderby`: id, location or uncertainty."""
        wanted = {**in_camel_case(filters), "orderby": orderby, "top": top}
        return self.client.pages(f"{self.path}/documents", m.Document, **wanted)

    def count_documents(self, **filters: Unpack[DocumentFilters]) -> int:
        """How many documents match."""
        page = self._get("/documents", _Count, **in_camel_case(filters), count="true", top=1)
        return page["count"]

    def search(self, body: m.SearchBody) -> m.SearchAnswer:
        """The next matches in the texts of documents, and how many documents were searched."""
        return self._post("/documents/:search", m.SearchAnswer, body)

    def document(self, document_id: str) -> m.Document:
        return self._get(f"/documents/{document_id}", m.Document)

    def text(self, document_id: str) -> str:
        path, headers = f"{self.path}/documents/{document_id}/text", {"Accept": "text/plain"}
        answer = self.client.call("GET", path, headers=headers)
        try:
            return answer.content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise foreign(answer, "the text is not UTF-8") from error

    def history(self, document_id: str) -> Iterator[m.HistoryItem]:
        return self.client.pages(f"{self.path}/documents/{document_id}/history", m.HistoryItem)

    def set_labels(self, document: m.Document, labels: m.Labels) -> m.Document:
        """Label a document by hand, as it was read. Raises ApiError 409 if someone else changed it since."""
        return self._change("PUT", document, "/labels", labels)

    def patch(self, document: m.Document, body: m.DocumentPatchBody) -> m.Document:
        """Set dataset, language, flag or note, or confirm the labels of changed content."""
        return self._change("PATCH", document, "", body)

    def _change(self, method: str, document: m.Document, rest: str, body: Mapping[str, object]) -> m.Document:
        path, match = f"{self.path}/documents/{document['id']}{rest}", {"If-Match": document["eTag"]}
        try:
            return checked(self.client.call(method, path, body=body, headers=match), m.Document)
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

    def undo(self, document_id: str) -> m.Document:
        return self._post(f"/documents/{document_id}/:undo", m.Document)

    def scan(self, *, confirm_removals: bool = False) -> Job:
        return self._start("/documents/:scan", {"confirmRemovals": confirm_removals})

    # Review

    def review(self, decisions: Sequence[m.Decision], *, key: str | None = None) -> list[m.ReviewResult]:
        """Save the decisions on up to 100 documents; one result per document, in their order."""
        body = {"decisions": list(decisions)}
        return self._post("/documents/:review", _Results, body, key)["results"]

    def review_all(self, body: m.BulkBody, *, key: str | None = None) -> Job:
        """Accept or reject every suggestion that matches; with `dryRun`, only count them."""
        return self._start("/documents/:review-all", body, key)

    def undo_review(self, job_id: str) -> Job:
        return self._start(f"/review/jobs/{job_id}/:undo")

    def review_jobs(self) -> Iterator[m.JobState]:
        return self._jobs("review/jobs")

    # Suggestions

    def autolabel(self, body: m.AutolabelBody | None = None, *, key: str | None = None) -> Job:
        """Start a job that makes suggestions; by default for every unlabeled document."""
        return self._start("/autolabel/jobs", body or {}, key)

    def estimate(self, body: m.AutolabelBody | None = None) -> m.Estimate:
        return self._post("/autolabel/:estimate", m.Estimate, body or {})

    def engines(self) -> list[m.Engine]:
        """The engines, with the counts of each one's suggestions."""
        return self._get("/engines", _Engines)["value"]

    def autolabel_jobs(self) -> Iterator[m.JobState]:
        return self._jobs("autolabel/jobs")

    def fits(self) -> Iterator[m.JobState]:
        return self._jobs("autolabel/fits")

    def outcomes(self, job_id: str, *, outcome: m.Outcome | None = None) -> Iterator[m.DocumentOutcome]:
        path = f"{self.path}/autolabel/jobs/{job_id}/documents"
        return self.client.pages(path, m.DocumentOutcome, outcome=outcome)

    def cancel_autolabel(self, job_id: str) -> Job:
        return self._start(f"/autolabel/jobs/{job_id}/:cancel")

    def retry_autolabel(self, job_id: str) -> Job:
        return self._start(f"/autolabel/jobs/{job_id}/:retry")

    # Training

    def train(self, body: m.TrainBody, *, key: str | None = None) -> Job:
        """Train a model; suggestions that were not accepted are removed."""
        return self._start("/:train", body, key)

    def train_jobs(self) -> Iterator[m.JobState]:
        return self._jobs("train/jobs")

    def cancel_train(self, job_id: str) -> Job:
        return self._start(f"/train/jobs/{job_id}/:cancel")

    def models(self) -> Iterator[m.TrainedModel]:
        return self.client.pages(f"{self.path}/models", m.TrainedModel)

    def model(self, label: str) -> m.TrainedModel:
        return self._get(f"/models/{label}", m.TrainedModel)

    def delete_model(self, label: str) -> None:
        try:
            self.client.call("DELETE", f"{self.path}/models/{label}")
        except ApiError as error:
            if not (error.repeated and error.status == 404 and not error.from_host):
                raise

    def evaluation_summary(self, label: str) -> m.EvaluationSummary:
        return self._get(f"/models/{label}/evaluation/summary-result", m.EvaluationSummary)

    def evaluation_result(self, label: str) -> Iterator[m.DocumentEvaluation]:
        path = f"{self.path}/models/{label}/evaluation/result"
        return self.client.pages(path, m.DocumentEvaluation, stringIndexType="Utf16CodeUnit")

    def evaluate(self, label: str, options: m.EvaluationOptions | None = None) -> Job:
        return self._start(f"/models/{label}/:evaluate", options or {})

    # Azure Language

    def push_target(self) -> m.PushTarget:
        """Where a push would go, and whether it can."""
        return self._get("/push", m.PushTarget)

    def push(self, body: m.PushBody | None = None, *, key: str | None = None) -> Job:
        """Import the project into an Azure Language resource, train and deploy a model there, and suggest with it.

        A project of that name in the resource is replaced.
        """
        return self._start("/:push", body or {}, key)

    def push_jobs(self) -> Iterator[m.JobState]:
        return self._jobs("push/jobs")

    def cancel_push(self, job_id: str) -> Job:
        return self._start(f"/push/jobs/{job_id}/:cancel")

    # m.Project files

    def export(self) -> Job:
        return self._start("/:export", stringIndexType="Utf16CodeUnit")

    def export_state(self, job_id: str) -> m.ExportJobState:
        answer = self.client.call("GET", f"{self.path}/export/jobs/{job_id}")
        return job_state(answer, m.ExportJobState)

    def export_result(self, job_id: str) -> bytes:
        """The project file of an export that succeeded: JSON in UTF-8. The parts of a large one are put together."""
        path, parts = f"{self.path}/export/jobs/{job_id}/result", list[bytes]()
        while True:
            answer = self.client.call("GET", path, params={"part": len(parts) or None})
            if answer.content in parts[-1:] or len(parts) == MOST_PARTS:
                raise foreign(answer, "the export never ends")
            parts.append(answer.content)
            if has_next_part(answer.content):
                continue
            try:
                return joined_parts(parts)
            except ValueError as error:
                raise foreign(answer, "it is not a project file") from error

    def import_file(self, file: Mapping[str, Any], *, key: str | None = None) -> Job:
        """Create the project from a project file, or replace it."""
        return self._start("/:import", file, key)

    def import_labels(self, body: m.ImportLabelsBody, *, key: str | None = None) -> Job:
        """Create the project from a label file of Azure Machine Learning in the storage account."""
        return self._start("/:import-labels", body, key)

    # The connection to another labeling studio

    def connection(self) -> m.Connection:
        return self._get("/connection", m.Connection)

    def check_connection(self, body: m.ConnectBody) -> m.CheckAnswer:
        """All conditions of connecting, without changing anything."""
        return self._post("/connection/:check", m.CheckAnswer, body)

    def connect(self, body: m.ConnectBody, *, key: str | None = None) -> Job:
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return self._job(self.client.call("PUT", f"{self.path}/connection", body=body, headers=headers))

    def switch(self, to: m.Studio, *, key: str | None = None) -> Job:
        return self._start("/connection/:switch", {"to": to}, key)

    def sync(self, *, key: str | None = None) -> Job:
        return self._start("/connection/:sync", key=key)

    def disconnect(
        self, confirm: str, *, discard_unsynced_labels: bool = False, key: str | None = None
    ) -> Job:
        """Disconnect permanently. `confirm` is the name of the labeling project."""
        body = {"confirm": confirm, "discardUnsyncedLabels": discard_unsynced_labels}
        return self._start("/connection/:disconnect", body, key)

    def connection_history(self) -> list[m.ConnectionEvent]:
        return self._get("/connection/history", _ConnectionEvents)["value"]

    def cancellation(self, kind: str, job_id: str) -> m.JobState:
        """The state of a cancellation; `kind` is `autolabel`, `train` or `push`."""
        answer = self.client.call("GET", f"{self.path}/{kind}/jobs/{job_id}/cancellation")
        return job_state(answer, m.JobState)
