"""The model that a job predicts with: fitted on the current labels when the project has no trained one (rule A10).

Fitting makes an artefact in our container, named by a hash of what was learned: the same labels are fitted once,
whoever asks, and every batch of a job loads the same model.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from shared.domain.document import Document
from shared.domain.errors import NotFound
from shared.domain.ids import derived_id
from shared.domain.kinds import ProjectKind, Studio
from shared.domain.labels import Labels
from shared.domain.page import Flag, Head
from shared.domain.prediction import Example, Span
from shared.domain.project import Project
from shared.domain.text import Offsets, content_hash
from shared.domain.trained import TrainedModel
from shared.engines.base import Engine, Model
from shared.services.stores import Stores

#: Other texts of the project that a fit may read, so that it knows the words; a share, for each costs a read.
POOL_SHARE, MAX_POOL = 20, 200
MAX_EXAMPLES = 5_000
LOADED = 8


@dataclass(frozen=True, slots=True)
class Fitted:
    """An artefact in our container. `missing` says instead why there is none yet."""

    artefact: str = ""
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """How many documents are labeled, and how many have each category (entities: how many spans)."""

    labeled: int
    by_category: Mapping[str, int]

    @classmethod
    def of(cls, heads: Iterable[Head], studio: Studio) -> "LabelCounts":
        counts: Counter[str] = Counter()
        labeled = 0
        flag = Flag.LABELED if studio is Studio.LANGUAGE_STUDIO else Flag.AML_LABELED
        unusable = Flag.REJECTED | Flag.MISSING
        for head in heads:
            counts.update(head.categories if studio is Studio.LANGUAGE_STUDIO else head.aml_categories)
            labeled += sum(1 for entry in head.entries if entry.flags & flag and not entry.flags & unusable)
        return cls(labeled, counts)


class ModelProvider:
    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._loaded: OrderedDict[str, Model] = OrderedDict()
        self._lock = asyncio.Lock()

    async def trained(self, project: Project, label: str | None) -> TrainedModel | None:
        """The model of this label, or without one the newest; None when nothing was trained yet.

        Models outlive an import over the project; one of another kind than the project has now is not used.
        Raises NotFound for a label that the project does not have, or whose model is of another kind.
        """
        if label is not None:
            model = await self._stores.models.get(project.incarnation, label)
            if not model.fits(project.kind):
                raise NotFound(other_kind(model, project), target="modelLabel")
            return model
        models = await self._stores.models.all(project.incarnation)
        return next((one for one in models if one.fits(project.kind)), None)

    async def fit(self, project: Project, engine: Engine, heads: Sequence[Head]) -> Fitted:
        """Fit the engine on the labels of the active studio, unless that was done before."""
        counts = LabelCounts.of(heads, project.active_studio)
        missing = engine.missing_for(project.kind, counts.by_category, counts.labeled)
        if missing is not None:
            return Fitted(missing=missing)
        learned = derived_id(
            engine.name, project.kind, project.active_studio, *(h.labels_digest for h in heads)
        )
        name = f"{project.incarnation}/fitted/{learned}"
        if name not in self._loaded and not await self._stores.artefacts.exists(name):
            await self._stores.artefacts.write(name, await self._fit(project, engine))
        return Fitted(name)

    async def load(self, engine: Engine, artefact: str) -> Model:
        """The model of an artefact, kept in memory. Raises FileNotFoundError when it was purged."""
        async with self._lock:
            model = self._loaded.get(artefact)
            if model is None:
                data = await self._stores.artefacts.read(artefact)
                if data is None:
                    raise FileNotFoundError("The fitted model of the job is gone.")
                model = await engine.load(data)
                self._loaded[artefact] = model
                while len(self._loaded) > LOADED:
                    self._loaded.popitem(last=False)
            self._loaded.move_to_end(artefact)
            return model

    async def _fit(self, project: Project, engine: Engine) -> bytes:
        labeled: list[Document] = []
        others: list[Document] = []
        total = 0
        async for page in self._stores.pages.scan(project.scope):
            for document in page.documents.values():
                total += 1
                if document.rejection is not None or document.missing:
                    continue
                if document.active_labels(project.active_studio) is not None:
                    labeled.append(document)
                elif len(others) < MAX_POOL:
                    others.append(document)
        pool = others[: min(MAX_POOL, total // POOL_SHARE)]
        texts = await asyncio.gather(
            *(read_text(self._stores, project, d) for d in (*labeled[:MAX_EXAMPLES], *pool))
        )
        examples = [
            example(project.kind, text, document, project.active_studio)
            for text, document in zip(texts, labeled[:MAX_EXAMPLES], strict=False)
            if text is not None
        ]
        unlabeled = [text for text in texts[min(len(labeled), MAX_EXAMPLES) :] if text is not None]
        return await engine.fit(project.kind, examples, unlabeled=unlabeled)


def other_kind(model: TrainedModel, project: Project) -> str:
    """What to tell a caller who asks for a model that does not fit the project any more."""
    return (
        f"The model '{model.label}' was trained for a project of kind {model.kind}; this project is "
        f"{project.kind} by now. Train it again, or delete it."
    )


async def read_text(stores: Stores, project: Project, document: Document) -> str | None:
    """The text that the labels belong to; None when the blob is gone or holds something else by now."""
    reading = await stores.uploads.look(project.container, document.location)
    if reading is None or reading.text is None:
        return None
    known = document.content in {"", content_hash(reading.text)}
    return reading.text if known else None


def example(kind: ProjectKind, text: str, document: Document, studio: Studio) -> Example:
    """What an engine learns from a labeled document. Spans that do not fit the text are left out."""
    labels = document.active_labels(studio) or Labels()
    if kind is not ProjectKind.ENTITIES:
        return Example(text, document.language, labels.categories)
    offsets = Offsets(text)
    spans: list[Span] = []
    for entity in labels.entities():
        span = offsets.span_to_code_points(entity.offset, entity.length)
        if span is not None:
            spans.append(Span(entity.category, *span))
    return Example(text, document.language, (), tuple(sorted(spans, key=lambda s: s.offset)))
