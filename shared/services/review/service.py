"""Saving the decisions of a reviewer: up to 100 documents, each saved or refused as a whole (rule V2)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from shared import telemetry
from shared.domain.document import Document, Version
from shared.domain.errors import DocumentNotFound, InvalidArgument, LabelbridgeError, StaleDocument
from shared.domain.jobs import JobKind
from shared.domain.names import random_id
from shared.domain.page import (
    Action,
    DecidedSuggestion,
    DecisionChange,
    Edit,
    EngineTally,
    HistoryEntry,
    LabelChange,
    Page,
    decisions_of,
    is_document_id,
    page_of,
)
from shared.domain.project import Project
from shared.domain.review import Decided, Decision, decide
from shared.services.jobs.stores import Stores
from shared.storage.gateways.ports import StorageUnavailable
from shared.storage.pages import Author
from shared.wire.json_codec import ValidationErrors

MAX_DECISIONS = 100
MAX_TRACES = 1_000
"""Jobs whose trace a process caches, so that a save reads no row for it."""


class Saved(StrEnum):
    SAVED = "saved"
    CONFLICT = "conflict"
    NOT_FOUND = "notFound"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Submitted:
    """One decision with the version of the document that the reviewer saw, or why the version is invalid."""

    decision: Decision
    version: Version | InvalidArgument


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one decision. `document`: saved, or the current one that it conflicts with. `error` where it was
    not saved; its target is within the decision, "" for the whole of it.
    """

    document_id: str
    status: Saved
    document: Document | None = None
    error: LabelbridgeError | None = None


class SavedTraces:
    """The ends of the traces of uploads: a span where suggestions were decided, by whatever job suggested them."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._traces: dict[str, str] = {}

    async def end(self, project: Project, documents: Mapping[str, int]) -> None:
        """A span in the trace of each job whose suggestions were decided, which leads back to the upload.

        `documents`: how many by job. It links to the request, which is a trace of its own: a person decides later.
        """
        if not telemetry.enabled():
            return
        for job_id, number in documents.items():
            if job_id not in self._traces:
                try:
                    job = await self._stores.jobs.find(project.incarnation, JobKind.AUTOLABEL, job_id)
                except StorageUnavailable:
                    return  # the labels are saved; a trace is not worth an error
                if len(self._traces) >= MAX_TRACES:
                    self._traces.clear()
                self._traces[job_id] = job.trace if job else ""
            if parent := self._traces[job_id]:
                with telemetry.span(
                    "save labels", parent=parent, project=project.name, job=job_id, documents=number
                ):
                    pass


DECISIONS = "labelbridge.suggestions"
"""The metric that counts decided suggestions."""


class ReviewService:
    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._traces = SavedTraces(stores)

    async def save(
        self, name: str, decisions: Sequence[Submitted], by: str, revision: str | None = None
    ) -> tuple[Project, list[Result]]:
        """Save decisions; the results are in their order. Raises LabelingLocked for the call as a whole.

        A repeat with the same `revision` finds its own work and returns the same results.
        """
        _require_distinct(decisions)
        handle = await self._stores.directory.open(name)
        pages = handle.current.pages
        known = {s.decision.document_id: s for s in decisions if is_document_id(s.decision.document_id)}
        author = Author(by, self._stores.clock(), revision or random_id())
        results: dict[str, Result] = {}
        made: dict[int, list[tuple[int, bool]]] = {}
        sources: dict[int, list[str]] = {}

        def change(page: Page, project: Project) -> Edit | None:
            mine = [s for key, s in known.items() if page_of(key, project.pages) == page.number]
            edits: dict[str, Document | None] = {}
            history: list[HistoryEntry] = []
            tallies: list[tuple[int, bool]] = []
            engines: list[EngineTally] = []
            suggested_by: list[str] = []
            for submitted in mine:
                result, decided = _decide(page, project, submitted, author.revision)
                results[result.document_id] = result
                if decided is not None:
                    edits[decided.document.id] = decided.document
                    history.append(decided_entry(decided))
                    tallies.extend(decided.tallies)
                    engines.extend(decisions_of(decided.source, decided.tallies))
                    suggested_by.append(decided.source.job_id)
            made[page.number] = tallies
            sources[page.number] = suggested_by
            return Edit(edits, tuple(history), tuple(tallies), engines=tuple(engines)) if edits else None

        written = await self._stores.pages.write(
            handle, {page_of(key, pages) for key in known}, change, author
        )
        if telemetry.enabled():
            for accepted, number in Counter(
                is_accepted for tallies in made.values() for _, is_accepted in tallies
            ).items():
                telemetry.count(DECISIONS, number, decision="accepted" if accepted else "rejected")
            await self._traces.end(written.project, Counter(chain.from_iterable(sources.values())))
        wanted = [s.decision.document_id for s in decisions]
        return written.project, [results.get(key) or _not_found(key) for key in wanted]


def _require_distinct(decisions: Sequence[Submitted]) -> None:
    errors = ValidationErrors()
    if not 1 <= len(decisions) <= MAX_DECISIONS:
        errors.add("decisions", f"'decisions' must have 1 to {MAX_DECISIONS} items.")
    seen: set[str] = set()
    for index, submitted in enumerate(decisions):
        key = submitted.decision.document_id
        if key in seen:
            errors.add(f"decisions[{index}].documentId", f"The document '{key[:40]}' is listed twice.")
        seen.add(key)
    errors.raise_any()


def _decide(
    page: Page, project: Project, submitted: Submitted, revision: str
) -> tuple[Result, Decided | None]:
    key = submitted.decision.document_id
    document = page.documents.get(key)
    if document is None:
        return _not_found(key), None
    if isinstance(submitted.version, InvalidArgument):
        return Result(key, Saved.INVALID, error=submitted.version), None
    if document.revision == revision:
        return Result(key, Saved.SAVED, document), None  # our own work, asked for again
    if not submitted.version.matches(document, project.generation):
        stale = StaleDocument(document, project, target="eTag")
        return Result(key, Saved.CONFLICT, document, stale), None
    try:
        decided = decide(document, submitted.decision, project.kind, project.generation, revision)
    except InvalidArgument as error:
        return Result(key, Saved.INVALID, error=error), None
    return Result(key, Saved.SAVED, decided.document), decided


def _not_found(key: str) -> Result:
    return Result(key, Saved.NOT_FOUND, error=DocumentNotFound(key))


def decided_entry(decided: Decided) -> HistoryEntry:
    """The history keeps the provenance of every decision (rules V1, V5)."""
    source, after = decided.source, decided.document
    details = DecisionChange(
        before=decided.before,
        after=after.labels,
        accepted=tuple(DecidedSuggestion.of(s, source) for s in decided.accepted),
        rejected=tuple(DecidedSuggestion.of(s, source) for s in decided.rejected),
        review_job_id=_review_job(after),
    )
    return HistoryEntry(after.id, Action.DECIDED, details)


def undone_entry(before: Document, after: Document) -> HistoryEntry:
    action = Action.LABELS_UNDONE if before.undo and before.undo.by_hand else Action.DECISION_UNDONE
    details = LabelChange(before.labels, after.labels, review_job_id=_review_job(before))
    return HistoryEntry(after.id, action, details)


def _review_job(decided: Document) -> str | None:
    """The id of the bulk decision, if it was one."""
    return decided.undo.job_id if decided.undo else None
