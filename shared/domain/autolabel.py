"""What one job does to one document: select, inspect its blob, suggest (rules A1 to A5, A9, A15, D1 to D3, D13, D15).

And when the model that jobs suggest with is fitted again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import ceil

from shared.domain.document import Document, Reading, apply, new_document, with_changes
from shared.domain.jobs import AutolabelParameters, DocumentOutcome, JobError, JobSource, Outcome
from shared.domain.labels import NONE_REJECTED, Filter, Prediction, Rejected, SuggestionSet, select
from shared.domain.names import DocumentStatus, ProjectKind, Studio
from shared.domain.page import Action, ContentChange, Deletion, HistoryEntry, LabelChange
from shared.domain.project import Project


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an inspection made of a document. `after` None: it is gone. `changed`: anything differs from before."""

    before: Document | None
    after: Document | None
    history: tuple[HistoryEntry, ...] = ()

    @property
    def changed(self) -> bool:
        return self.after is not self.before


@dataclass(frozen=True, slots=True)
class Source:
    """Which job makes suggestions, and with which model."""

    job_id: str
    engine: str
    model: str | None
    generation: int
    #: Whether the caller named the documents: then also labeled ones, and content that was planned before.
    named: bool
    rule: Filter


def selected(document: Document, project: Project, parameters: AutolabelParameters) -> bool:
    """Whether a job that is not about uploads is about this document: it is named, or waits, or is unlabeled."""
    if parameters.documents is not None:
        return document.id in parameters.documents
    if parameters.source is JobSource.WAITING:
        return waits(document, project)
    return is_unlabeled(document, project)


def waits(document: Document, project: Project) -> bool:
    return document.waiting and document.pending(project.generation) is None


def is_unlabeled(document: Document, project: Project) -> bool:
    unlabeled = document.status(project.generation, project.active_studio) is DocumentStatus.UNLABELED
    return unlabeled and not document.missing


def inspect(
    document: Document | None,
    location: str,
    language: str,
    reading: Reading | None,
    revision: str,
    rejected: frozenset[Rejected] = NONE_REJECTED,
    *,
    removes: bool = True,
) -> Inspection:
    """Apply what is at the location to the document. The same inspection twice changes nothing.

    `rejected`: what people rejected when a blob lay there before (rule A4). `removes`: whether a document whose blob is
    gone may be removed; otherwise a listing decides, which knows how many are affected (rules D12, D13).
    """
    if reading is None:
        return _gone(document, removes)
    base = document or replace(new_document(location, language, revision), rejected=rejected)
    after = apply(base, reading, revision)
    history: list[HistoryEntry] = []
    if document is not None and after.content_changed and not document.content_changed:
        history.append(HistoryEntry(after.id, Action.CONTENT_CHANGED, ContentChange(after.content)))
    if base.aml_labels is not None and after.aml_labels is None:
        refused = LabelChange(base.aml_labels, None, source=Studio.AZURE_ML)
        history.append(HistoryEntry(after.id, Action.LABELS_IMPORTED, refused))
    return Inspection(document, after, tuple(history))


def _gone(document: Document | None, removes: bool) -> Inspection:
    if document is None or not (removes or document.stays_without_blob):
        return Inspection(document, document)
    if document.stays_without_blob:
        # Without its ETag, the blob is read again even if the same version of it comes back.
        flagged = document if document.missing else replace(document, missing=True, blob_etag="")
        return Inspection(document, flagged)
    entry = HistoryEntry(document.id, Action.DELETED, Deletion(document.location))
    return Inspection(document, None, (entry,))


def needs_no_suggestion(document: Document, kind: ProjectKind) -> bool:
    """Whether a person chose the only label that the document can have (rule A3)."""
    return kind is ProjectKind.SINGLE_LABEL and document.labels is not None


def suggest(
    document: Document, text: str, predictions: Sequence[Prediction] | None, source: Source, revision: str
) -> tuple[Document, DocumentOutcome | None]:
    """The document with the suggestions of this job. Without an outcome: the content was planned before (rule A1).

    `predictions` None: the engine was not asked, because the document needed no suggestion. If its label was removed
    since, its content is left to the next plan.
    """
    if not source.named and not document.unplanned:
        return _again(document, source)
    labeled = needs_no_suggestion(document, source.rule.kind)
    if labeled or predictions is None:
        planned = not labeled or document.planned == document.content
        after = document if planned else replace(document, planned=document.content)
        return after, outcome(
            document, Outcome.SKIPPED, "AlreadyLabeled", "The document was labeled by hand."
        )
    items = select(predictions, text, document.content, document.labels, document.rejected, source.rule)
    made = SuggestionSet(source.job_id, source.engine, source.model, source.generation, revision, items)
    found = Outcome.SUGGESTED if items else Outcome.NOTHING_FOUND
    old = document.suggestions
    if (
        old is not None
        and with_changes(old, revision=revision) == made
        and document.planned == document.content
    ):
        return document, outcome(document, found)
    return with_changes(document, suggestions=made if items else None, planned=document.content), outcome(
        document, found
    )


def fail(document: Document, source: Source, error: JobError) -> tuple[Document, DocumentOutcome | None]:
    """The document after the job failed too often: its content counts as planned, so that it is not retried."""
    if not source.named and not document.unplanned:
        return _again(document, source)
    after = document if document.planned == document.content else replace(document, planned=document.content)
    return after, DocumentOutcome(document.id, document.location, Outcome.FAILED, error)


def _again(document: Document, source: Source) -> tuple[Document, DocumentOutcome | None]:
    """A batch that runs a second time has the outcomes of the first."""
    ours = document.suggestions is not None and document.suggestions.job_id == source.job_id
    return document, outcome(document, Outcome.SUGGESTED) if ours else None


def outcome(document: Document, kind: Outcome, code: str | None = None, message: str = "") -> DocumentOutcome:
    return DocumentOutcome(document.id, document.location, kind, JobError(code, message) if code else None)


#: When a model is fitted again without a request: after this many labels or this share of them have changed, whichever
#: is more, or after this time if any label has changed.
FIT_CHANGES, FIT_SHARE, FIT_AFTER = 10, 0.1, timedelta(minutes=15)
MAX_FIT_PAUSE = timedelta(days=1)
#: After so many fits that were given up on the same labels, fitting has failed: until labels change, it is not tried
#: again without a request.
MAX_GIVEN_UP = 4


def fit_pause(tries: int) -> timedelta:
    """After how long a fit that was given up, as when storage fails, is tried again without a request: ever longer."""
    return min(FIT_AFTER * 2 ** min(tries, 10), MAX_FIT_PAUSE)


PLAN_PAUSE, MAX_PLAN_PAUSE = timedelta(minutes=2), timedelta(hours=1)


def plan_pause(tries: int) -> timedelta:
    """After how long a plan that was given up is tried again without a new upload: ever longer."""
    return min(PLAN_PAUSE * 2 ** min(tries, 10), MAX_PLAN_PAUSE)


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """How many documents are labeled, and how many have each category (entities: how many spans)."""

    labeled: int
    by_category: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LastFit:
    """The last fit of an engine for a project.

    `learned` is a digest of its labels, and `counts` their numbers. `artifact` names the blob of the last model that
    could be fitted; `failure` says why a later fit failed.
    """

    learned: str
    artifact: str
    kind: ProjectKind
    studio: Studio
    counts: LabelCounts
    at: datetime
    failure: str = ""
    #: The previous artifact, which jobs that are already planned may still load.
    former: str = ""
    #: Older artifacts that jobs still used at the time of the fit, or that could not be deleted.
    in_use: tuple[str, ...] = ()
    #: As of a trained model.
    edits: int = 0
    #: When the fit before had ended, if the labels were read after that.
    before: datetime | None = None
    etag: str = field(default="", compare=False)

    def is_after(self, moment: datetime) -> bool:
        """Whether this fit began after another one that ended after the moment."""
        return self.before is not None and self.before >= moment

    def serves(self, kind: ProjectKind, studio: Studio) -> bool:
        """Whether there is a model for a project of this kind that is labeled in this studio."""
        return bool(self.artifact) and (self.kind, self.studio) == (kind, studio)

    def is_outdated(self, counts: LabelCounts, now: datetime) -> bool:
        """Whether labels have changed enough since to fit again without a request."""
        before, after = self.counts.by_category, counts.by_category
        moved = sum(abs(after.get(name, 0) - before.get(name, 0)) for name in before.keys() | after.keys())
        changed = max(abs(counts.labeled - self.counts.labeled), ceil(moved / 2))
        enough = max(FIT_CHANGES, ceil(FIT_SHARE * self.counts.labeled))
        return changed >= enough or now - self.at > FIT_AFTER
