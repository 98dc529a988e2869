"""Saving the decisions of a reviewer: up to 100 documents, each saved whole or refused whole (rule V2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shared.domain.document import Document
from shared.domain.errors import DocumentNotFound, InvalidArgument, LabelbridgeError, StaleDocument
from shared.domain.ids import random_id
from shared.domain.page import Edit, HistoryEntry, Page, is_document_id, page_of
from shared.domain.project import Project
from shared.domain.review import Decided, Decision, decide
from shared.domain.suggestions import Suggestion, SuggestionSet
from shared.services.etags import Version
from shared.services.stores import Stores
from shared.storage.document_codec import encode_labels
from shared.storage.page_rows import Author
from shared.wire.documents import document_json

MAX_DECISIONS = 100


class Saved(StrEnum):
    SAVED = "saved"
    CONFLICT = "conflict"
    NOT_FOUND = "notFound"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Submitted:
    """One decision with the version of the document that the reviewer saw, or why what was given is none."""

    decision: Decision
    version: Version | InvalidArgument


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one decision. `document`: saved, or the current one that it conflicts with. `error` where it
    was not saved; its target is within the decision, "" for the whole of it.
    """

    document_id: str
    status: Saved
    document: Document | None = None
    error: LabelbridgeError | None = None


class ReviewService:
    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def save(
        self, name: str, decisions: Sequence[Submitted], by: str, revision: str | None = None
    ) -> tuple[Project, list[Result]]:
        """Save decisions; the results are in their order. Raises LabelingLocked for the call as a whole.

        The same `revision` again finds its own work and answers the same.
        """
        _check(decisions)
        handle = await self._stores.directory.open(name)
        pages = handle.current.pages
        known = {s.decision.document_id: s for s in decisions if is_document_id(s.decision.document_id)}
        author = Author(by, self._stores.clock(), revision or random_id())
        results: dict[str, Result] = {}

        def change(page: Page, project: Project) -> Edit | None:
            mine = [s for key, s in known.items() if page_of(key, project.pages) == page.number]
            edits: dict[str, Document | None] = {}
            history: list[HistoryEntry] = []
            tallies: list[tuple[int, bool]] = []
            for one in mine:
                result, decided = _decide(page, project, one, author.revision)
                results[result.document_id] = result
                if decided is not None:
                    edits[decided.document.id] = decided.document
                    history.append(decided_entry(decided))
                    tallies.extend(decided.tallies())
            return Edit(edits, tuple(history), tuple(tallies)) if edits else None

        written = await self._stores.pages.write(
            handle, {page_of(key, pages) for key in known}, change, author
        )
        wanted = [s.decision.document_id for s in decisions]
        return written.project, [results.get(key) or _not_found(key) for key in wanted]


def _check(decisions: Sequence[Submitted]) -> None:
    if not 1 <= len(decisions) <= MAX_DECISIONS:
        raise InvalidArgument(f"A save takes 1 to {MAX_DECISIONS} decisions.", target="decisions")
    seen: set[str] = set()
    for index, one in enumerate(decisions):
        key = one.decision.document_id
        if key in seen:
            raise InvalidArgument(
                f"The document '{key[:40]}' is named twice.", target=f"decisions[{index}].documentId"
            )
        seen.add(key)


def _decide(page: Page, project: Project, one: Submitted, revision: str) -> tuple[Result, Decided | None]:
    key = one.decision.document_id
    document = page.documents.get(key)
    if document is None:
        return _not_found(key), None
    if isinstance(one.version, InvalidArgument):
        return Result(key, Saved.INVALID, error=one.version), None
    if document.revision == revision:
        return Result(key, Saved.SAVED, document), None  # our own work, asked for again
    if not one.version.matches(document, project.generation):
        stale = StaleDocument(document_json(document, project), target="eTag")
        return Result(key, Saved.CONFLICT, document, stale), None
    try:
        decided = decide(document, one.decision, project.kind, project.generation, revision)
    except InvalidArgument as error:
        return Result(key, Saved.INVALID, error=error), None
    return Result(key, Saved.SAVED, decided.document), decided


def _not_found(key: str) -> Result:
    return Result(key, Saved.NOT_FOUND, error=DocumentNotFound(key))


def decided_entry(decided: Decided) -> HistoryEntry:
    """The history keeps the provenance of every decision (rules V1, V5)."""
    source, after = decided.source, decided.document
    facts: dict[str, Any] = {
        "before": encode_labels(decided.before),
        "after": encode_labels(after.labels),
        "accepted": [provenance(s, source) for s in decided.accepted],
        "rejected": [provenance(s, source) for s in decided.rejected],
    }
    return HistoryEntry(after.id, "decided", facts | _review_job(after))


def undone_entry(before: Document, after: Document) -> HistoryEntry:
    facts = {"before": encode_labels(before.labels), "after": encode_labels(after.labels)}
    return HistoryEntry(after.id, "decisionUndone", facts | _review_job(before))


def _review_job(decided: Document) -> dict[str, Any]:
    """Which bulk decision it was, if it was one."""
    job_id = decided.undo.job_id if decided.undo else None
    return {"reviewJobId": job_id} if job_id else {}


def provenance(suggestion: Suggestion, source: SuggestionSet) -> dict[str, Any]:
    data: dict[str, Any] = {
        "id": suggestion.id,
        "category": suggestion.category,
        "confidence": suggestion.confidence / 100,
        "jobId": source.job_id,
        "engine": source.engine,
        "model": source.model,
    }
    if suggestion.length:
        data |= {"offset": suggestion.offset, "length": suggestion.length}
    return data
