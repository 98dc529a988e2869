"""Documents on the wire (design section 4, "Shapes")."""

from typing import Any

from shared.domain.document import Document
from shared.domain.kinds import ProjectKind
from shared.domain.project import Project
from shared.domain.suggestions import Suggestion, SuggestionSet
from shared.wire.labels import write_labels


def etag(document: Document, generation: int) -> str:
    """The version a client sees: opaque to it, two parts inside (labels and settings; suggestions)."""
    labels, suggestions = document.etag(generation)
    return f'"{labels}.{suggestions}"'


def document_json(document: Document, project: Project) -> dict[str, Any]:
    labels = document.active_labels(project.active_studio)
    pending = document.pending(project.generation)
    data: dict[str, Any] = {
        "id": document.id,
        "location": document.location,
        "language": document.language,
        "dataset": document.dataset.value,
        "status": document.status(project.generation, project.active_studio).value,
        "eTag": etag(document, project.generation),
        "contentChanged": document.content_changed,
        "missing": document.missing,
        "length": document.length,
        "suggestions": [_suggestion(s, pending, project.kind) for s in pending.items] if pending else [],
    }
    if labels is not None:
        data[project.kind.label_field] = write_labels(project.kind, labels)
    if document.rejection is not None:
        data["rejection"] = {"code": document.rejection.code, "message": document.rejection.message}
    if document.problems:
        data["labelProblems"] = list(document.problems)
    return data


def _suggestion(suggestion: Suggestion, source: SuggestionSet, kind: ProjectKind) -> dict[str, Any]:
    data: dict[str, Any] = {
        "id": suggestion.id,
        "category": suggestion.category,
        "confidence": suggestion.confidence / 100,
        "jobId": source.job_id,
        "engine": source.engine,
        "model": source.model,
    }
    if kind is ProjectKind.ENTITIES:
        data |= {"offset": suggestion.offset, "length": suggestion.length}
    return data
