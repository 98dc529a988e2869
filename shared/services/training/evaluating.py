"""What training reads, and how a model is evaluated: the split, the texts, the evaluation as blobs (rules T5, T6)."""

import asyncio
import json
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from shared.domain.document import Document
from shared.domain.jobs import JobError
from shared.domain.labels import (
    NONE_REJECTED,
    EntityLabel,
    Example,
    Labels,
    Prediction,
    Region,
    by_current_names,
    fit_regions,
)
from shared.domain.names import Dataset, ProjectKind
from shared.domain.project import Project
from shared.domain.text import BEYOND, CHANGED, MISSING, Offsets
from shared.domain.training import (
    EvaluatedDocument,
    LeftOut,
    SplitDocument,
    SplitKind,
    SplitOptions,
    entities_left_out,
    left_out,
    sample,
    split,
)
from shared.engines.base import Model, fit_report
from shared.engines.responses import checked
from shared.services.jobs.stores import Stores
from shared.services.training.model_cache import Unread, example, read_texts
from shared.storage.page_codec import decode_documents, encode_documents
from shared.storage.rows import pack, unpack
from shared.wire import json_codec

PREDICTED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Tested:
    """A test document with its text."""

    document: Document
    text: str
    expected: Labels


@dataclass(frozen=True, slots=True)
class LabelSnapshot:
    """Labeled documents by id, as they were at one time. `unused`: labeled documents that cannot be used, by
    location, with the code of the reason. `edits`: how many categories had been renamed or removed by then, to find
    the labels' current names. `apart`: the number of labeled documents in sets that are not split. `divided`: these
    are the sample of a percentage split, which has moved the documents for testing to `Test` and the others to `Train`.
    """

    documents: Mapping[str, Document]
    unused: Mapping[str, str]
    edits: int
    apart: int = 0
    divided: bool = False

    def sampled(self, project: Project, options: SplitOptions) -> "LabelSnapshot":
        """The part of them that a training uses. The rest of the sets that are split counts as unused."""
        usable = {key: d for key, d in self.documents.items() if options.uses(d.dataset)}
        apart = len(self.documents) - len(usable)
        parts = sample(self.to_split(project), options)
        if parts is None:
            return replace(self, documents=usable, apart=apart)
        train, test = set(parts.train), set(parts.test)
        beyond = {d.location: BEYOND for key, d in usable.items() if key not in train and key not in test}
        documents = {
            key: replace(d, dataset=Dataset.TEST if key in test else Dataset.TRAIN)
            for key, d in usable.items()
            if key in train or key in test
        }
        divided = options.kind is SplitKind.PERCENTAGE
        return LabelSnapshot(documents, {**self.unused, **beyond}, self.edits, apart, divided)

    def to_split(self, project: Project, among: Container[str] | None = None) -> list[SplitDocument]:
        """The input of the split; `among`: only these ids."""
        found = (item for item in self.documents.items() if among is None or item[0] in among)
        if not self.divided:
            return [SplitDocument(key, d.dataset, _labels(project, d)) for key, d in found]
        return [
            SplitDocument(key, Dataset.TRAIN, _labels(project, d), tests=d.dataset is Dataset.TEST)
            for key, d in found
        ]


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What a model is trained on, what it is tested on, and what was left out. `edits`: as in LabelSnapshot."""

    examples: Sequence[Example]
    test: Sequence[Tested]
    edits: int
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, slots=True)
class LabeledTexts:
    """The usable part of a snapshot after its blobs were read: texts by id. `left_out`: the rest."""

    texts: Mapping[str, str]
    documents: Sequence[SplitDocument]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True)
class WrittenEvaluation:
    """The names of the blobs with the summary and the results, and warnings about the labels."""

    summary: str
    results: str
    warnings: tuple[JobError, ...]


class Evaluator:
    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def usable(self, project: Project) -> LabelSnapshot:
        """The documents that are labeled in the active studio, in their current state."""
        labeled: dict[str, Document] = {}
        unused: dict[str, str] = {}
        async for page in self._stores.pages.scan(project.scope):
            for document in page.documents.values():
                if document.active_labels(project.active_studio) is None:
                    continue
                if reason := _unusable(document, project):
                    unused[document.location] = reason
                else:
                    labeled[document.id] = _of_labels(document)
        return LabelSnapshot(labeled, unused, project.edits)

    async def write_snapshot(self, name: str, snapshot: LabelSnapshot) -> None:
        """Store the snapshot as a blob."""
        documents = list(snapshot.documents.values())
        rest = [dict(snapshot.unused), snapshot.apart, snapshot.divided, snapshot.edits]
        body = await asyncio.to_thread(lambda: pack([encode_documents(documents), *rest]))
        await self._stores.artifacts.write(name, body)

    async def read_snapshot(self, name: str) -> LabelSnapshot | None:
        """The stored snapshot; None if there is none."""
        body = await self._stores.artifacts.read(name)
        if body is None:
            return None
        documents, *rest, edits = await asyncio.to_thread(unpack, body)
        # Earlier versions stored fewer values, or only counts of the unused documents.
        unused: dict[str, str] = rest[0] if len(rest) in {1, 3} else {}
        apart, divided = rest[1:] if len(rest) == 3 else (0, False)
        return LabelSnapshot(decode_documents(documents), unused, edits, apart, divided)

    async def read(self, project: Project, usable: LabelSnapshot) -> LabeledTexts:
        """The texts of labeled documents, and which documents have no text that fits their labels."""
        labeled = usable.documents
        found = await read_texts(self._stores, project, labeled.values())
        texts = {key: text for key, text in zip(labeled, found, strict=True) if isinstance(text, str)}
        unread = {
            document.location: text.code
            for document, text in zip(labeled.values(), found, strict=True)
            if isinstance(text, Unread)
        }
        # Archiving a blob, for example, causes no event: so these documents are inspected, and then show it.
        unnoticed = [location for location, code in unread.items() if code not in {MISSING, CHANGED}]
        await self._stores.pending.add_many(project.incarnation, unnoticed)
        return LabeledTexts(texts, usable.to_split(project, texts), left_out({**usable.unused, **unread}))

    def divide(
        self, project: Project, usable: LabelSnapshot, found: LabeledTexts, options: SplitOptions
    ) -> TrainingData:
        """Split the documents with texts, without entities that do not fit the text."""
        labeled, texts = usable.documents, found.texts
        parts = split(found.documents, options)
        used = {
            key: _fitting(_labels(project, labeled[key]), texts[key]) for key in (*parts.train, *parts.test)
        }
        outside = {labeled[key].location: count for key, (_, count) in used.items()}
        examples = [
            example(project.kind, texts[key], labeled[key].language, used[key][0]) for key in parts.train
        ]
        test = [Tested(labeled[key], texts[key], used[key][0]) for key in parts.test]
        return TrainingData(examples, test, usable.edits, (*found.left_out, *entities_left_out(outside)))

    async def write(
        self,
        project: Project,
        model: Model,
        edits: int,
        data: TrainingData,
        options: SplitOptions,
        base: str,
    ) -> WrittenEvaluation:
        """Evaluate the model on the test documents, with the current names of categories.

        `edits`: the number of category edits before the model's labels were read.
        """
        from shared.engines.evaluation import evaluate, without_outer_spaces

        test = data.test
        predicted: list[list[Prediction]] = []
        for start in range(0, len(test), PREDICTED_AT_ONCE):
            texts = [tested.text for tested in test[start : start + PREDICTED_AT_ONCE]]
            predicted += checked(await model.predict(texts), len(texts))
        named = partial(project.current_name, edits=data.edits)
        documents = [
            _evaluated(
                project.kind,
                replace(tested, expected=without_outer_spaces(tested.expected, tested.text).renamed(named)),
                by_current_names(found, project, edits),
            )
            for tested, found in zip(test, predicted, strict=True)
        ]
        evaluation = await asyncio.to_thread(
            evaluate, project.kind, project.category_names, documents, options
        )
        summary, results = f"{base}/summary.json", f"{base}/results.json"
        warnings = (*warnings_of(data.left_out), *_of_fit(model))
        reported = {"warnings": [json_codec.to_json(warning) for warning in warnings]} if warnings else {}
        await self._write(summary, evaluation.summary | reported)
        await self._write(results, evaluation.results)
        return WrittenEvaluation(summary, results, warnings)

    async def _write(self, name: str, data: object) -> None:
        body = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
        await self._stores.artifacts.write(name, body, content_type="application/json")


def warnings_of(found: Iterable[LeftOut]) -> tuple[JobError, ...]:
    """Warnings about labels that are used neither for training nor for testing, one for each reason."""
    return tuple(JobError(reason.code, reason.message, "documents") for reason in found)


def _of_labels(document: Document) -> Document:
    """The document with only what a training needs: there may be 100,000 in memory."""
    return replace(
        document, suggestions=None, rejected=NONE_REJECTED, undo=None, excerpt="", note="", blob_etag="",
        planned="", revision="",
    )  # fmt: skip


def _unusable(document: Document, project: Project) -> str | None:
    """The code of the known reason why a document's labels cannot be used; None if they can."""
    if document.missing:
        return MISSING
    if document.rejection is not None:
        return document.rejection.code
    return CHANGED if document.has_stale_labels(project.kind) else None


def _of_fit(model: Model) -> list[JobError]:
    """Warnings about labels that the model's fit left out or adjusted."""
    report = fit_report(model)
    codes = ["LabelsLeftOut"] * len(report.left_out) + ["LabelsAdjusted"] * len(report.adjusted)
    return [JobError(code, line, "documents") for code, line in zip(codes, report.lines, strict=True)]


def _fitting(labels: Labels, text: str) -> tuple[Labels, int]:
    """The labels without entities that do not fit the text, and how many of those there are."""
    offsets = Offsets(text)
    labels = fit_regions(labels, offsets.utf16_length) or labels  # the text may not have been registered yet
    if not labels.regions:
        return labels, 0
    regions = tuple(
        replace(
            region,
            labels=tuple(
                e for e in region.labels if offsets.span_to_code_points(e.offset, e.length) is not None
            ),
        )
        for region in labels.regions
    )
    kept = replace(labels, regions=regions)
    return kept, sum(1 for _ in labels.entities()) - sum(1 for _ in kept.entities())


def _labels(project: Project, document: Document) -> Labels:
    return document.active_labels(project.active_studio) or Labels()


def _evaluated(kind: ProjectKind, tested: Tested, found: Sequence[Prediction]) -> EvaluatedDocument:
    offsets = Offsets(tested.text)
    if kind is ProjectKind.ENTITIES:
        spans = [(p.category, *offsets.span_to_utf16(p.offset or 0, p.length or 0)) for p in found]
        predicted = Labels(
            regions=(Region(0, offsets.utf16_length, tuple(EntityLabel(*span) for span in spans)),)
        )
    else:
        best = found[:1] if kind is ProjectKind.SINGLE_LABEL else found
        predicted = Labels(categories=tuple(p.category for p in best))
    document = tested.document
    return EvaluatedDocument(
        document.location, document.language, offsets.utf16_length, tested.expected, predicted
    )
