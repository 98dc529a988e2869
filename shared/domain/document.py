"""The state of one document, and every rule that changes it. Functions return a new document."""

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache
from operator import attrgetter
from typing import Any

from shared.domain.errors import InvalidArgument, PreconditionRequired
from shared.domain.labels import (
    NONE_REJECTED,
    Labels,
    Rejected,
    SuggestionSet,
    fit_regions,
    fitting,
    span_errors,
)
from shared.domain.names import Dataset, DocumentStatus, ProjectKind, Studio
from shared.domain.text import Offsets, Rejection, content_hash, first_words

NO_SUGGESTIONS = "0"
#: `planned` of an imported document: its content, when it is first read, counts as planned (rule A1). Until then the
#: document stays without a blob (rule D15), unless a person clears its labels.
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
    """What the last change of a document's labels changed, so that it can be undone until training (rule V4)."""

    generation: int
    job_id: str | None
    labels: Labels | None
    suggestions: SuggestionSet | None
    rejected: frozenset[Rejected]
    content_changed: bool
    tallies: tuple[tuple[int, bool], ...] = ()
    #: The change was labels set by hand, not a decision: these confirm changed content and its problems.
    by_hand: bool = False
    problems: tuple[str, ...] = ()
    #: The previous change: one save of a reviewer may decide and then set labels. Nothing earlier is kept.
    earlier: "Undo | None" = None
    #: The content that `labels` were set for, once the text has changed since ("" where it is not known), and then
    #: `problems` are those of `labels` in the text now. None while it has not changed.
    former: str | None = None


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
    #: The first words of the text, for lists; "" if no text was read since this field was added.
    excerpt: str = ""
    labels: Labels | None = None
    aml_labels: Labels | None = None
    content_changed: bool = False
    #: The content that the labels were set for, while `content_changed`; "" where it is not known.
    labeled_content: str = ""
    missing: bool = False
    rejection: Rejection | None = None
    problems: tuple[str, ...] = ()
    suggestions: SuggestionSet | None = None
    rejected: frozenset[Rejected] = NONE_REJECTED
    undo: Undo | None = None
    #: Notes among reviewers; neither changes what is suggested or learned.
    flagged: bool = False
    note: str = ""
    #: The assignee; "": nobody. Advice, not a lock: it does not change the version.
    assignee: str = ""

    def active_labels(self, studio: Studio) -> Labels | None:
        return self.labels if studio is Studio.LANGUAGE_STUDIO else self.aml_labels

    def pending(self, generation: int) -> SuggestionSet | None:
        """The suggestions that exist: not those of an older generation, even if they are still stored (rule T4)."""
        found = self.suggestions
        return found if found is not None and found.generation == generation and found.items else None

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

    def has_stale_labels(self, kind: ProjectKind) -> bool:
        """Whether offsets of entities are of another content than the document has now: nothing to learn from."""
        return kind is ProjectKind.ENTITIES and self.content_changed

    @property
    def stays_without_blob(self) -> bool:
        """Whether the document outlives its blob: what a person labeled, flagged or noted, and imported ones that
        never had any (D3, D15).
        """
        imported = self.planned == PLANNED_WHEN_READ and self.rejection is None
        marked = self.flagged or bool(self.note)
        return imported or marked or self.labels is not None or self.aml_labels is not None

    @property
    def unplanned(self) -> bool:
        """Whether no autolabel job has taken up the content yet (rule A1)."""
        return self.rejection is None and self.content not in {"", self.planned}

    @property
    def waiting(self) -> bool:
        """Unplanned because there is no engine or labeling is locked; not documents that a person labeled meanwhile,
        nor those without a blob.
        """
        return self.unplanned and not self.missing and (self.labels is None or self.content_changed)


@cache
def _values_of(kind: type[Any]) -> tuple[Callable[[Any], tuple[Any, ...]], dict[str, int]]:
    """A getter of all field values in the order of `__init__`, and the index of each field."""
    names = [each.name for each in fields(kind)]
    return attrgetter(*names), {name: place for place, name in enumerate(names)}


def with_changes[T](value: T, **changes: Any) -> T:
    """Like `dataclasses.replace`, in half the time: for dataclasses without a field that `__init__` does not take."""
    values_of, places = _values_of(type(value))
    values = [*values_of(value)]
    for name, change in changes.items():
        values[places[name]] = change
    return type(value)(*values)


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of reading a blob: its text, or why it is not a document."""

    blob_etag: str
    text: str | None
    rejection: Rejection | None
    #: The blob exists, but the service refuses to read it: what is known of its text stays.
    unreadable: bool = False


def new_document(location: str, language: str, revision: str) -> Document:
    return Document(id=document_id(location), location=location, language=language, revision=revision)


def apply(document: Document, reading: Reading, revision: str) -> Document:
    """The document after an inspection of its blob (rules D2, D3, D11). The same content again changes nothing.

    The hash of the text decides; the blob's ETag only says whether to read the blob. A document whose blob comes back
    is restored if the content is the same, and flagged otherwise.
    """
    if reading.unreadable:
        same = document.rejection == reading.rejection and not document.missing
        # Without its ETag, the blob is read again with each comparison of the container.
        return (
            document
            if same
            else replace(
                document, revision=revision, blob_etag="", rejection=reading.rejection, missing=False
            )
        )
    if reading.text is None:
        same = document.rejection == reading.rejection and document.blob_etag == reading.blob_etag
        return document if same and not document.missing else _reject(document, reading, revision)
    content = content_hash(reading.text)
    if content == document.content and document.rejection is None and not document.missing:
        if document.blob_etag == reading.blob_etag and document.excerpt:
            return document
        return with_changes(document, blob_etag=reading.blob_etag, excerpt=first_words(reading.text))
    offsets = Offsets(reading.text)
    known = document.content not in {"", content}
    changed, labeled_content = _changed(document, content)
    labels = fit_regions(document.labels, offsets.utf16_length)
    problems = tuple(error.message for error in span_errors(labels, offsets)) if labels else ()
    # A first inspection, and a blob found again, keep the version, because someone may be labeling the document.
    new_version = known or document.rejection is not None
    return with_changes(
        document,
        revision=revision if new_version else document.revision,
        blob_etag=reading.blob_etag,
        content=content,
        planned=content if document.planned == PLANNED_WHEN_READ else document.planned,
        length=offsets.utf16_length,
        characters=offsets.length,
        excerpt=first_words(reading.text),
        labels=labels,
        aml_labels=_fit_aml_labels(document, offsets),
        content_changed=changed,
        labeled_content=labeled_content,
        missing=False,
        rejection=None,
        problems=problems,
        suggestions=document.suggestions if not known else None,
        undo=_fit_undo(_outdate(document.undo, document.content) if known else document.undo, offsets),
    )


def _fit_aml_labels(document: Document, offsets: Offsets) -> Labels | None:
    """The labels of the other studio; those that came before the text and do not fit it are refused, as in a sync."""
    labels = fit_regions(document.aml_labels, offsets.utf16_length)
    refused = labels is not None and not document.content and any(span_errors(labels, offsets))
    return None if refused else labels


def _fit_undo(undo: Undo | None, offsets: Offsets) -> Undo | None:
    if undo is None:
        return None
    labels = fit_regions(undo.labels, offsets.utf16_length)
    problems = undo.problems
    if undo.former is not None:
        problems = tuple(error.message for error in span_errors(labels, offsets)) if labels else ()
    return replace(undo, labels=labels, problems=problems, earlier=_fit_undo(undo.earlier, offsets))


def _outdate(undo: Undo | None, content: str) -> Undo | None:
    """The undo of a change that was made for this content, which is being replaced (rules D2, V4)."""
    if undo is None or undo.former is not None or not content:
        return undo
    former = "" if undo.content_changed else content
    return replace(undo, former=former, earlier=_outdate(undo.earlier, content))


def _changed(document: Document, content: str) -> tuple[bool, str]:
    """`content_changed` and `labeled_content` with a new content, "" for bytes that are no text.

    The content that was labeled clears the flag. Labels that were imported before a text was read are of the first one.
    """
    if document.labels is None and document.aml_labels is None:
        return document.content_changed, ""
    labeled = document.labeled_content if document.content_changed else document.content
    if not labeled:
        return document.content_changed, ""
    return (False, "") if labeled == content else (True, labeled)


def _reject(document: Document, reading: Reading, revision: str) -> Document:
    changed, labeled_content = _changed(document, "")
    return with_changes(
        document,
        revision=revision,
        blob_etag=reading.blob_etag,
        content="",
        length=None,
        characters=0,
        excerpt="",
        content_changed=changed,
        labeled_content=labeled_content,
        missing=False,
        rejection=reading.rejection,
        suggestions=None,
        undo=_outdate(document.undo, document.content),
    )


def set_labels(
    document: Document, kind: ProjectKind, labels: Labels | None, revision: str, undo: Undo | None = None
) -> Document:
    """Labels set by hand win: pending suggestions that would no longer be made are dropped (rule A3).

    `undo`: how to undo the change; None: it cannot be undone.
    """
    kept = document.suggestions
    if kept is not None:
        items = fitting(kind, labels, kept.items)
        if items != kept.items:
            kept = replace(kept, items=items, revision=revision)
    forgotten = document.missing and labels is None and document.planned == PLANNED_WHEN_READ
    return with_changes(
        document,
        labels=labels,
        planned="" if forgotten else document.planned,
        suggestions=kept,
        content_changed=False,
        labeled_content="",
        problems=(),
        undo=undo,
        revision=revision,
    )


def undo_of_labels(document: Document, generation: int) -> Undo:
    """The undo of labels that are about to be set by hand."""
    last = document.undo
    return Undo(
        generation,
        None,
        document.labels,
        document.suggestions,
        document.rejected,
        document.content_changed,
        by_hand=True,
        problems=document.problems,
        earlier=replace(last, earlier=None) if last is not None and last.generation == generation else None,
    )


#: One strong entity tag in its quotes, as RFC 9110 writes it.
_ETAG = re.compile(r'"([!#-~\x80-\xff]*)"')
_OURS = re.compile(r"([A-Za-z0-9_-]{1,40})\.([A-Za-z0-9_-]{1,40})")


@dataclass(frozen=True, slots=True)
class Version:
    """The version of a document that a client has read, from its eTag. None for a part: any."""

    labels: str | None
    suggestions: str | None

    def matches_labels(self, document: Document) -> bool:
        return self.labels is None or self.labels == document.revision

    def matches(self, document: Document, generation: int) -> bool:
        """Labels and suggestions, as `:review` compares them."""
        _, suggestions = document.etag(generation)
        return self.matches_labels(document) and self.suggestions in {None, suggestions}


ANY_VERSION = Version(None, None)
#: No document ever has this version: revisions contain no spaces.
_STALE = Version(" ", " ")


def version_of_header(text: str | None) -> Version:
    """The version in an If-Match header. Raises PreconditionRequired when it is missing, else as `parse_version`."""
    if text is None or not text.strip():
        raise PreconditionRequired(
            "The header If-Match is required: the document's eTag, or * for any version.",
            target="If-Match",
        )
    return parse_version(text, "If-Match")


def parse_version(text: str, target: str = "eTag") -> Version:
    """Raises InvalidArgument when it is malformed or weak.

    A well-formed tag that this app did not make matches no document: it is stale.
    """
    if text.strip() == "*":
        return ANY_VERSION
    match = _ETAG.fullmatch(text.strip())
    if match is None:
        raise InvalidArgument(
            "The eTag is malformed; send it as it was returned, with its quotes.", target=target
        )
    ours = _OURS.fullmatch(match[1])
    return Version(*ours.groups()) if ours else _STALE
