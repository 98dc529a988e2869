"""What training reads, and how a model is judged: the split, the texts, the evaluation as blobs (rules T5, T6)."""

import asyncio
import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from shared.domain.category_edits import by_present_names
from shared.domain.document import Document
from shared.domain.errors import InvalidArgument
from shared.domain.evaluation import EvaluatedDocument
from shared.domain.kinds import ProjectKind
from shared.domain.labels import EntityLabel, Labels, Region
from shared.domain.prediction import Example, Prediction
from shared.domain.project import Project
from shared.domain.splitting import SplitDocument, SplitOptions, split
from shared.domain.text import Offsets
from shared.engines.base import Model
from shared.services.models import example, read_text
from shared.services.stores import Stores

PREDICTED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Tested:
    """A test document with its text."""

    document: Document
    text: str
    expected: Labels


@dataclass(frozen=True, slots=True)
class Usable:
    """Labeled documents by id; `unusable` others are labeled, and rejected or without a blob."""

    documents: Mapping[str, Document]
    unusable: int

    def to_split(self, project: Project, among: Container[str] | None = None) -> list[SplitDocument]:
        """What the split looks at; `among`: of these ids only."""
        return [
            SplitDocument(key, one.dataset, _labels(project, one))
            for key, one in self.documents.items()
            if among is None or key in among
        ]


@dataclass(frozen=True, slots=True)
class Learned:
    """What a training rests on."""

    examples: Sequence[Example]
    test: Sequence[Tested]


class Evaluator:
    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def usable(self, project: Project) -> Usable:
        """The documents that the active studio labeled."""
        labeled: dict[str, Document] = {}
        unusable = 0
        async for page in self._stores.pages.scan(project.scope):
            for document in page.documents.values():
                if document.active_labels(project.active_studio) is None:
                    continue
                if document.rejection is None and not document.missing:
                    labeled[document.id] = document
                else:
                    unusable += 1
        return Usable(labeled, unusable)

    async def read(self, project: Project, options: SplitOptions, *, only_test: bool = False) -> Learned:
        """The labeled documents of the active studio, split; those without a readable blob are left out.

        Raises InvalidArgument when nothing is left to train on (unless `only_test`), or nothing to test with.
        """
        usable = await self.usable(project)
        labeled = usable.documents
        found = await asyncio.gather(*(read_text(self._stores, project, one) for one in labeled.values()))
        texts = {key: text for key, text in zip(labeled, found, strict=True) if text is not None}
        parts = split(usable.to_split(project, texts), options)
        if not parts.train and not only_test:
            raise InvalidArgument("No labeled document of the Train set can be read.", target="documents")
        if not parts.test:
            raise InvalidArgument("No labeled document to test with can be read.", target="documents")
        examples = [
            example(project.kind, texts[key], labeled[key], project.active_studio) for key in parts.train
        ]
        test = [Tested(labeled[key], texts[key], _labels(project, labeled[key])) for key in parts.test]
        return Learned(examples, test)

    async def write(
        self, project: Project, model: Model, test: Sequence[Tested], options: SplitOptions, base: str
    ) -> tuple[str, str]:
        """Evaluate the model on the test documents; the names of the blobs with the summary and the results."""
        from shared.engines.evaluation import evaluate

        predicted: list[list[Prediction]] = []
        for start in range(0, len(test), PREDICTED_AT_ONCE):
            predicted += await model.predict([one.text for one in test[start : start + PREDICTED_AT_ONCE]])
        documents = [
            _evaluated(project.kind, one, by_present_names(found, project))
            for one, found in zip(test, predicted, strict=True)
        ]
        evaluation = await asyncio.to_thread(
            evaluate, project.kind, project.category_names, documents, options
        )
        summary, results = f"{base}/summary.json", f"{base}/results.json"
        await self._write(summary, evaluation.summary)
        await self._write(results, evaluation.results)
        return summary, results

    async def _write(self, name: str, data: object) -> None:
        body = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
        await self._stores.artefacts.write(name, body, content_type="application/json")


def _labels(project: Project, document: Document) -> Labels:
    return document.active_labels(project.active_studio) or Labels()


def _evaluated(kind: ProjectKind, one: Tested, found: Sequence[Prediction]) -> EvaluatedDocument:
    offsets = Offsets(one.text)
    if kind is ProjectKind.ENTITIES:
        spans = [(p.category, *offsets.span_to_utf16(p.offset or 0, p.length or 0)) for p in found]
        predicted = Labels(
            regions=(Region(0, offsets.utf16_length, tuple(EntityLabel(*span) for span in spans)),)
        )
    else:
        best = found[:1] if kind is ProjectKind.SINGLE_LABEL else found
        predicted = Labels(categories=tuple(p.category for p in best))
    document = one.document
    return EvaluatedDocument(
        document.location, document.language, offsets.utf16_length, one.expected, predicted
    )
