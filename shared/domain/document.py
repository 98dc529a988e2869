"""The state of one document, and every rule that changes it. Functions return a new document."""

import hashlib
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field, replace

from shared.domain.kinds import Dataset, DocumentStatus, ProjectKind, Studio
from shared.domain.labels import Labels, span_faults
from shared.domain.suggestions import Rejected, SuggestionSet, fits
from shared.domain.text import Offsets, Rejection, content_hash

NO_SUGGESTIONS = "0"
#: `planned` of an imported document: its content, when it is first read, counts as planned (rule A1).
PLANNED_WHEN_READ = "*"


def document_id(location: str) -> str:
    """22 characters, base64url of half a SHA-256 of the blob name."""
    return (
        urlsafe_b64encode(hashlib.sha256(location.encode("utf-8", "surrogatepass")).digest()[:16])
        .decode()
        .rstrip("=")
    )


@dataclass(frozen=True, slots=True)
class Undo:
    """What the last decision on a document changed, so that it can be taken back until training (rule V4)."""

    generation: int
    job_id: str | None
    labels: Labels | None
    suggestions: SuggestionSet | None
    rejected: frozenset[Rejected]
    content_changed: bool
    tallies: tuple[tuple[int, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """One blob of a project. `content` is the hash of its text ("" until it was read); `planned` is the content
    that an autolabel job last took up, so that content is planned once (rule A1).
    """

    id: str
    location: str
    language: str
    dataset: Dataset = Dataset.TRAIN
    revision: str = ""
    blob_etag: str = ""
    content: str = ""
    planned: str = ""
    length: int | None = None
    characters: int = 0
    labels: Labels | None = None
    aml_labels: Labels | None = None
    content_changed: bool = False
    missing: bool = False
    rejection: Rejection | None = None
    problems: tuple[str, ...] = ()
    suggestions: SuggestionSet | None = None
    rejected: frozenset[Rejected] = field(default_factory=frozenset[Rejected])
    undo: Undo | None = None

    def active_labels(self, studio: Studio) -> Labels | None:
        return self.labels if studio is Studio.LANGUAGE_STUDIO else self.aml_labels

    def pending(self, generation: int) -> SuggestionSet | None:
        """The suggestions that exist: those of an older generation do not, wherever they still lie (rule T4)."""
        one = self.suggestions
        return one if one is not None and one.generation == generation and one.items else None

    def status(self, generation: int, studio: Studio) -> DocumentStatus:
        if self.rejection is not None:
            return DocumentStatus.REJECTED
        if self.pending(generation) is not None:
            return DocumentStatus.AUTO_LABELED
        return DocumentStatus.UNLABELED if self.active_labels(studio) is None else DocumentStatus.LABELED

    def etag(self, generation: int) -> tuple[str, str]:
        """The two parts of the version a client sees: labels and settings; suggestions."""
        pending = self.pending(generation)
        return self.revision, pending.revision if pending else NO_SUGGESTIONS

    @property
    def unplanned(self) -> bool:
        """Whether no autolabel job has taken up the content yet (rule A1)."""
        return self.rejection is None and self.content not in {"", self.planned}

    @property
    def waiting(self) -> bool:
        """Unplanned for want of an engine or because labeling is locked; what a person labeled meanwhile does not."""
        return self.unplanned and (self.labels is None or self.content_changed)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a look at a blob found: its text, or why it is none."""

    blob_etag: str
    text: str | None
    rejection: Rejection | None


def new_document(location: str, language: str, revision: str) -> Document:
    return Document(id=document_id(location), location=location, language=language, revision=revision)


def fold(document: Document, reading: Reading, revision: str) -> Document:
    """The document after a look at its blob (rule D2). Looking twice at the same content changes nothing."""
    if reading.text is None:
        same = document.rejection == reading.rejection and document.blob_etag == reading.blob_etag
        return document if same and not document.missing else _reject(document, reading, revision)
    content = content_hash(reading.text)
    if content == document.content and document.rejection is None and not document.missing:
        return (
            document
            if document.blob_etag == reading.blob_etag
            else replace(document, blob_etag=reading.blob_etag)
        )
    offsets = Offsets(reading.text)
    known = document.content not in {"", content}
    labeled = document.labels is not None or document.aml_labels is not None
    problems = tuple(f.message for f in span_faults(document.labels, offsets)) if document.labels else ()
    # A first look, and a blob found again, take no version away from who labels the document meanwhile.
    new_version = known or document.rejection is not None
    return replace(
        document,
        revision=revision if new_version else document.revision,
        blob_etag=reading.blob_etag,
        content=content,
        planned=content if document.planned == PLANNED_WHEN_READ else document.planned,
        length=offsets.utf16_length,
        characters=offsets.length,
        content_changed=document.content_changed or (known and labeled),
        missing=False,
        rejection=None,
        problems=problems,
        suggestions=document.suggestions if not known else None,
        undo=document.undo if not known else None,
    )


def _reject(document: Document, reading: Reading, revision: str) -> Document:
    labeled = document.labels is not None or document.aml_labels is not None
    return replace(
        document,
        revision=revision,
        blob_etag=reading.blob_etag,
        content="",
        length=None,
        characters=0,
        content_changed=document.content_changed or labeled,
        missing=False,
        rejection=reading.rejection,
        suggestions=None,
        undo=None,
    )


def set_labels(document: Document, kind: ProjectKind, labels: Labels | None, revision: str) -> Document:
    """Labels set by hand win: pending suggestions that would now not be made are dropped (rule A3)."""
    kept = document.suggestions
    if kept is not None:
        items = tuple(s for s in kept.items if fits(kind, labels, s))
        if items != kept.items:
            kept = replace(kept, items=items, revision=revision)
    return replace(
        document,
        labels=labels,
        suggestions=kept,
        content_changed=False,
        problems=(),
        undo=None,
        revision=revision,
    )
