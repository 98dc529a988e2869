"""The model that a job predicts with: fitted on the current labels if the project has no trained one (rule A10).

A fit writes an artifact to our container, named by a hash of its training data: the same labels are fitted only once,
and every batch of a job loads the same model. Labels change all the time, so without a request a fit is due only when
they have changed enough.
"""

import asyncio
import hashlib
import logging
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import product

from shared import telemetry
from shared.domain.autolabel import LabelCounts, LastFit
from shared.domain.document import Document, Reading
from shared.domain.errors import NotFound, Unavailable
from shared.domain.jobs import AutolabelParameters, FitParameters, Job, JobKind, JobStatus
from shared.domain.labels import BANDS, RAW_BANDS, Example, Labels, Span
from shared.domain.names import Dataset, ProjectKind, Studio, derived_id, derived_job_id, random_id
from shared.domain.page import Flag, Head
from shared.domain.project import Project
from shared.domain.text import CHANGED, MISSING, Offsets, content_hash
from shared.domain.training import TrainedModel
from shared.engines.base import Engine, EngineError, Model, ServiceEngine, Task, calling
from shared.services.jobs.dispatch import PASSING, heartbeat, reason_of
from shared.services.jobs.stores import Stores
from shared.storage.gateways.ports import RowChanged, StorageError
from shared.storage.leases import LeaseLost
from shared.storage.uploads import READERS_EACH

log = logging.getLogger("labelbridge.models")

_LABELED = Flag.LABELED | Flag.AML_LABELED

#: Other texts of the project that a fit may read to learn words: a share and a maximum, because each costs a read.
POOL_SHARE, MAX_POOL = 20, 200
MAX_EXAMPLES = 5_000
#: In how many pages examples for a service are sought, and their maximum length: each is sent with every document.
EXAMPLE_PAGES, EXAMPLE_CHARACTERS = 32, 1_500
#: The maximum of the artifacts of cached models together, in bytes. A fitted model takes three to seven times as much
#: memory, a small one up to twenty times: each counts at least as an eighth of the limit, and all take about 64 MiB.
#: The model of a service takes little, so it counts as its artifact, which may be a few bytes, or as 16 KiB.
LOADED_BYTES = 10 * 2**20
MIN_LOADED = LOADED_BYTES // 8
MIN_SERVICE = 2**14
#: Attempts to record a fit while other workers record theirs.
TRIES = 10
#: On more labeled texts than this, a fit reads only so many at a time: people's saves wait behind those reads.
FEW_TEXTS, READS_AT_ONCE = 500, 2


@dataclass(frozen=True, slots=True)
class Fitted:
    """An artifact in our container, or why there is none: too few labels, a failure, or no fit yet.

    `changed`: this fit made the artifact, or failed. `due`: the job that should fit the engine now.
    `edits`: as for a trained model.
    """

    artifact: str = ""
    missing: str | None = None
    failure: str = ""
    changed: bool = False
    due: Job | None = None
    edits: int = 0


class ModelDeleted(EngineError):
    """The model of a job no longer exists: later fits replaced it, or someone deleted it."""


def label_counts(heads: Iterable[Head], studio: Studio) -> LabelCounts:
    counts: Counter[str] = Counter()
    labeled = 0
    flag = Flag.LABELED if studio is Studio.LANGUAGE_STUDIO else Flag.AML_LABELED
    unusable = Flag.REJECTED | Flag.MISSING
    for head in heads:
        counts.update(head.categories if studio is Studio.LANGUAGE_STUDIO else head.aml_categories)
        labeled += sum(1 for entry in head.entries if entry.flags & flag and not entry.flags & unusable)
    return LabelCounts(labeled, counts)


def missing_for(engine: Engine, kind: ProjectKind, counts: LabelCounts) -> str | None:
    """As `Engine.missing_for`. Raises EngineError."""
    with calling(engine.name):
        return engine.missing_for(kind, counts.by_category, counts.labeled)


class ModelCache:
    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        #: Models and the bytes that they count as; the one that was used last is at the end.
        self._loaded: OrderedDict[str, tuple[Model, int]] = OrderedDict()
        self._lock = asyncio.Lock()

    async def trained(self, project: Project, label: str | None) -> TrainedModel | None:
        """The model with this label, or the newest without one; None if nothing was trained yet.

        Models survive an import over the project; one whose kind differs from the project's current kind is not used.
        Raises NotFound for a label that the project does not have, or whose model has another kind.
        """
        if label is not None:
            model = await self._stores.models.get(project, label)
            if not model.fits(project.kind):
                raise NotFound(model.other_kind(project.kind), target="modelLabel")
            return model
        models = await self._stores.models.all(project)
        return next((candidate for candidate in models if candidate.fits(project.kind)), None)

    async def current(
        self, project: Project, engine: Engine, heads: Sequence[Head], request: Job | None = None
    ) -> Fitted:
        """The model that can be used now without fitting, and the fit that is due.

        A caller's job (`request`) gets a model of the current labels; a fit that failed before the request is tried
        again. If labels change during each fit, the second fit after the request is used, so that a job does not wait
        until people stop labeling. Otherwise the last model is used until labels have changed enough since the last
        fit, even a failed one. Without a model, a failed fit is not due again until labels change. Raises EngineError.
        """
        counts = label_counts(heads, project.active_studio)
        missing = missing_for(engine, project.kind, counts)
        if missing is not None:
            return Fitted(missing=missing)
        learned, now = _learned(project, engine, heads), self._stores.clock()
        last = await self._stores.fits.last(project.incarnation, engine.name)
        # A fit sets its own time, so labels that were learned, changed and changed back are fitted again.
        job_id = derived_job_id(project.incarnation, "fit", learned, last.at.isoformat() if last else "")
        due = Job.new(JobKind.FIT, job_id, project, now, FitParameters(engine.name, learned=learned))
        if last is None:
            return Fitted(due=due)
        known, serves = last.learned == learned, last.serves(project.kind, project.active_studio)
        if known and last.failure and not (serves and request is None):
            tried = request is None or last.at >= request.created
            return Fitted(failure=last.failure) if tried else Fitted(due=due)
        if request is not None and last.failure and last.is_after(request.created):
            return Fitted(failure=last.failure)
        if not serves:
            return Fitted(due=due)
        if known or (request is not None and last.is_after(request.created)):
            return Fitted(last.artifact, edits=last.edits)
        if request is not None:
            return Fitted(due=due)
        return Fitted(last.artifact, due=due if last.is_outdated(counts, now) else None, edits=last.edits)

    async def fit(
        self,
        project: Project,
        engine: Engine,
        heads: Sequence[Head],
        *,
        since: datetime | None = None,
        retry: bool = False,
        begun: Callable[[], Awaitable[bool]] | None = None,
        read: Callable[[], Awaitable[object]] | None = None,
    ) -> Fitted:
        """Fit the engine on the labels of the active studio, unless that was done; `retry`: even if it failed.

        `since`: a time before the heads were read. `begun` is called when this worker has the lease, and says whether
        to go on; `read`, when the documents have been read. One fit of an engine runs at a time in a project: a result
        without artifact, failure or missing labels means that another worker has the lease. Raises Unavailable,
        StorageUnavailable, EngineUnavailable for temporary failures.
        """
        counts = label_counts(heads, project.active_studio)
        missing = missing_for(engine, project.kind, counts)
        if missing is not None:
            return Fitted(missing=missing)
        learned = _learned(project, engine, heads)
        last = await self._stores.fits.last(project.incarnation, engine.name)
        if last is not None and last.learned == learned and not (last.failure and retry):
            return Fitted(failure=last.failure) if last.failure else Fitted(last.artifact, edits=last.edits)
        now = self._stores.clock()
        holder = Job.new(JobKind.TRAIN, f"fit-{engine.name}", project, now)  # only stands for the lease
        lease = await self._stores.jobs.acquire(holder, 0, random_id(), now)
        if lease is None:
            return Fitted()
        artifact, failure = f"{project.incarnation}/fitted/{learned}", ""
        try:
            async with heartbeat(lease, self._stores.clock):
                if begun is not None and not await begun():
                    await lease.release(self._stores.clock(), "")
                    return Fitted()
                await self._stores.artifacts.write(artifact, await self._fit(project, engine, read))
        except LeaseLost:
            return Fitted()
        except asyncio.CancelledError:
            await lease.release_soon(self._stores.clock())
            raise
        except PASSING:
            await lease.release(self._stores.clock(), "")
            raise
        except Exception as error:
            text = "Fitting the engine '%s' for the project '%s' failed."
            stack = telemetry.without_message(error)
            log.error(text, engine.name, project.name, exc_info=stack)  # noqa: TRY400 - no text
            failure = reason_of(error)
        try:
            before = last.at if last is not None and since is not None and last.at <= since else None
            made = LastFit(
                learned, artifact, project.kind, project.active_studio, counts, self._stores.clock(),
                failure=failure, edits=project.edits, before=before,
            )  # fmt: skip
            await self._remember(project, engine, made, last)
        finally:
            await lease.release(self._stores.clock(), "")
        if failure:
            return Fitted(failure=failure, changed=True)
        return Fitted(artifact, changed=True, edits=project.edits)

    async def give_up(
        self, project: Project, engine: Engine, heads: Sequence[Head], learned: str, failure: str
    ) -> bool:
        """Note that fits on these labels were given up too often, as `fit` notes a failure.

        `learned`: the labels as they were. False: they have changed, or were fitted, since.
        """
        last = await self._stores.fits.last(project.incarnation, engine.name)
        fitted = last is not None and last.learned == learned and not last.failure
        if fitted or _learned(project, engine, heads) != learned:
            return False
        text = "Fitting the engine '%s' for the project '%s' failed: it was given up too often."
        log.error(text, engine.name, project.name)
        counts, now = label_counts(heads, project.active_studio), self._stores.clock()
        made = LastFit(learned, "", project.kind, project.active_studio, counts, now, failure=failure)
        await self._remember(project, engine, made, last)
        return True

    async def _remember(
        self, project: Project, engine: Engine, made: LastFit, last: LastFit | None, asking: Job | None = None
    ) -> None:
        """Record the fit. A model that two later ones have replaced is deleted, by a later fit if a job still uses it.

        `last`: the previous fit. If another worker has recorded one since, it is read again, so that no model is
        forgotten. Raises Unavailable. `asking`: the job that the model is for.
        """
        for _ in range(TRIES):
            fit = _noted(made, last)
            try:
                fit = await self._stores.fits.save(project.incarnation, engine.name, fit)
            except RowChanged:
                last = await self._stores.fits.last(project.incarnation, engine.name)
                known = last and not made.failure and (last.artifact, last.failure) == (made.artifact, "")
                if known or last == fit:
                    return  # noted by another worker, or by us, and the answer was lost
                continue
            if fit.in_use and not made.failure:
                await self._purge(project, engine, fit, asking)
            return
        raise Unavailable("Too many workers are preparing the engine; try again.", retry_after=1)

    async def _purge(self, project: Project, engine: Engine, fit: LastFit, asking: Job | None) -> None:
        """Delete the replaced models that no job uses. The next fit deletes the others, and those that failed."""
        try:
            jobs = await self._stores.jobs.open_jobs(project.incarnation, but=asking)
            if isinstance(engine, ServiceEngine) and any(map(_is_planned, jobs)):
                return  # with a model that is about to be replaced, perhaps
            used = {
                job.parameters.artifact for job in jobs if isinstance(job.parameters, AutolabelParameters)
            }
            kept = tuple(name for name in fit.in_use if name in used)
            for name in set(fit.in_use) - used:
                await self._stores.artifacts.delete(name)
            if kept != fit.in_use:
                await self._stores.fits.save(project.incarnation, engine.name, replace(fit, in_use=kept))
        except RowChanged:
            return  # a later fit has noted them
        except StorageError as error:
            text = "Replaced models of the project '%s' could not be deleted; the next fit will do it: %s"
            log.warning(text, project.name, telemetry.in_line(error))

    async def task(self, project: Project, engine: ServiceEngine, categories: Iterable[str]) -> Task:
        """What the service gets from the project: these categories, and labeled documents chosen for them.

        Raises EngineError.
        """
        wanted = set(categories)
        chosen = tuple(category for category in project.categories if category.name in wanted)
        heads = await self._stores.pages.heads(project.scope)
        with calling(engine.name):
            most, model = engine.max_examples, engine.model_of(project.deployed)
        decided = _decided(heads, engine.name, model)
        examples = await self._examples(project, heads, wanted, most) if most else ()
        return Task(project.kind, chosen, examples, project.language, project.deployed, decided)

    async def prepare(
        self,
        project: Project,
        engine: ServiceEngine,
        categories: Iterable[str],
        asking: Job | None = None,
    ) -> str:
        """Write the task of a service for the batches of a job; return the artifact. Raises EngineError, Unavailable.

        `asking`: the job that the model is for.
        """
        task = await self.task(project, engine, categories)
        with calling(engine.name):
            data = await engine.prepare(task)
        artifact = f"{project.incarnation}/fitted/{derived_id(engine.name, hashlib.sha256(data).hexdigest())}"
        last = await self._stores.fits.last(project.incarnation, engine.name)
        if last is None or last.artifact != artifact:
            await self._stores.artifacts.write(artifact, data)
            made = LastFit(
                artifact, artifact, project.kind, project.active_studio, LabelCounts(0, {}),
                self._stores.clock(), edits=project.edits,
            )  # fmt: skip
            await self._remember(project, engine, made, last, asking)
        return artifact

    async def load(self, engine: Engine, artifact: str) -> Model:
        """The model of an artifact, cached in memory. Raises ModelDeleted."""
        async with self._lock:
            found = self._loaded.get(artifact)
            if found is None:
                data = await self._stores.artifacts.read(artifact)
                if data is None:
                    raise ModelDeleted("The model of the job no longer exists.")
                size = max(len(data), MIN_SERVICE if isinstance(engine, ServiceEngine) else MIN_LOADED)
                self._make_room(size)  # first, so that they are not in memory together
                found = self._loaded[artifact] = await engine.load(data), size
            self._loaded.move_to_end(artifact)
            return found[0]

    def _make_room(self, size: int) -> None:
        """Forget the models that were not used for longest; a model larger than the limit is kept alone."""
        used = sum(size for _, size in self._loaded.values())
        while self._loaded and used + size > LOADED_BYTES:
            _, (_, freed) = self._loaded.popitem(last=False)
            used -= freed

    async def _examples(
        self, project: Project, heads: Sequence[Head], categories: set[str], most: int
    ) -> tuple[Example, ...]:
        """Short documents whose labels a person set or accepted, from as many categories as possible."""
        candidates: list[Document] = []
        labeled = [head.number for head in heads if any(entry.flags & _LABELED for entry in head.entries)]
        for number in labeled[:EXAMPLE_PAGES]:
            page = await self._stores.pages.load(project.scope, number)
            candidates += [d for d in page.documents.values() if _is_example(d, project, categories)]
        chosen = _spread(candidates, project, most)
        texts = await read_texts(self._stores, project, chosen)
        return tuple(
            example(project.kind, text, d.language, d.active_labels(project.active_studio) or Labels())
            for text, d in zip(texts, chosen, strict=True)
            if isinstance(text, str)
        )

    async def _fit(
        self, project: Project, engine: Engine, read: Callable[[], Awaitable[object]] | None
    ) -> bytes:
        labeled: list[Document] = []
        others: list[Document] = []
        total = 0
        # Only the first ones: all documents of a large project would take more memory than the fit.
        async for page in self._stores.pages.scan(project.scope):
            for document in page.documents.values():
                total += 1
                if document.rejection is not None or document.missing:
                    continue
                if document.has_stale_labels(project.kind):
                    continue
                if document.active_labels(project.active_studio) is not None:
                    if len(labeled) < MAX_EXAMPLES:
                        labeled.append(document)
                elif len(others) < MAX_POOL:
                    others.append(document)
        pool = others[: min(MAX_POOL, total // POOL_SHARE)]
        chosen = (*labeled, *pool)
        at_once = READERS_EACH if len(labeled) <= FEW_TEXTS else READS_AT_ONCE
        texts = await read_texts(self._stores, project, chosen, at_once)
        examples = [
            example(project.kind, text, d.language, d.active_labels(project.active_studio) or Labels())
            for text, d in zip(texts, labeled, strict=False)
            if isinstance(text, str)
        ]
        if not examples:
            raise EngineError(
                "No labeled document can be used for training: the blobs have changed or are gone."
            )
        unlabeled = [text for text in texts[len(labeled) :] if isinstance(text, str)]
        if read is not None:
            await read()
        with telemetry.timed("fit", engine=engine.name):
            telemetry.annotate(documents=len(examples))
            return await engine.fit(project.kind, examples, unlabeled=unlabeled)


def _is_planned(job: Job) -> bool:
    """Whether the job is being planned: it does not say yet which model it uses."""
    return job.kind is JobKind.AUTOLABEL and job.status is JobStatus.NOT_STARTED


def _noted(made: LastFit, last: LastFit | None) -> LastFit:
    """A fit, or the failure of one, after `last`: then the last model stays."""
    if last is None:
        return replace(made, artifact="") if made.failure else made
    if made.failure:
        return replace(
            last,
            learned=made.learned,
            counts=made.counts,
            failure=made.failure,
            at=made.at,
            before=made.before,
        )
    former = last.artifact if last.artifact != made.artifact else ""
    replaced = (name for name in (last.former, *last.in_use) if name and name not in {made.artifact, former})
    return replace(made, former=former, in_use=tuple(replaced), etag=last.etag)


def _decided(heads: Iterable[Head], engine: str, model: str | None) -> tuple[tuple[int, int], ...]:
    """Accepted and rejected suggestions of the model by band of raw confidence; empty without decisions.

    Suggestions that name no model count, too: they are from before suggestions were counted by model.
    """
    counts = [(0, 0)] * BANDS
    for head in heads:
        for name, place in product({"", model or ""}, range(BANDS)):
            tally = head.engines.get((engine, name, RAW_BANDS + place))
            if tally is not None:
                accepted, rejected = counts[place]
                counts[place] = accepted + tally.accepted, rejected + tally.rejected
    return tuple(counts) if any(map(any, counts)) else ()


def _is_example(document: Document, project: Project, categories: set[str]) -> bool:
    """Whether a service may see the document: certain labels, a short text, and not a test document."""
    labels = document.active_labels(project.active_studio)
    certain = not (document.content_changed or document.missing or document.rejection or document.problems)
    return (
        certain
        and labels is not None
        and document.dataset is Dataset.TRAIN
        and 0 < document.characters <= EXAMPLE_CHARACTERS
        and categories.issuperset(labels.used_categories())
    )


def _spread(candidates: Iterable[Document], project: Project, most: int) -> list[Document]:
    """Chooses documents one by one: first by the rarest category so far, then by the shortest text."""
    left = sorted(candidates, key=lambda document: (document.characters, document.id))
    used: Counter[str] = Counter()
    chosen: list[Document] = []
    while left and len(chosen) < most:
        names = [_names(document, project) for document in left]
        best = min(range(len(left)), key=lambda i: min((used[name] for name in names[i]), default=used[""]))
        used.update(names[best] or [""])
        chosen.append(left.pop(best))
    return chosen


def _names(document: Document, project: Project) -> set[str]:
    labels = document.active_labels(project.active_studio)
    return set(labels.used_categories()) if labels else set()


def _learned(project: Project, engine: Engine, heads: Sequence[Head]) -> str:
    """A digest of what a fit learns from, which ignores pages without labels."""
    labeled = (h.labels_digest for h in heads if any(e.flags & _LABELED for e in h.entries))
    return derived_id(engine.name, project.kind, project.active_studio, *labeled)


@dataclass(frozen=True, slots=True)
class Unread:
    """A blob without the text that was labeled; `code` is the reason, as for a rejection."""

    code: str


async def read_texts(
    stores: Stores, project: Project, documents: Collection[Document], at_once: int = READERS_EACH
) -> "list[str | Unread]":
    """The texts to which the labels belong, or why there is none; with limited concurrency."""
    locations = [document.location for document in documents]
    found = await stores.uploads.inspect_all(project.container, locations, at_once)
    return [_text(document, reading) for document, reading in zip(documents, found, strict=True)]


def _text(document: Document, reading: Reading | None) -> str | Unread:
    if reading is None:
        return Unread(MISSING)
    if reading.text is None:
        return Unread(reading.rejection.code if reading.rejection else MISSING)
    return reading.text if document.content in {"", content_hash(reading.text)} else Unread(CHANGED)


def example(kind: ProjectKind, text: str, language: str, labels: Labels) -> Example:
    """The training example of a labeled document. Spans that do not fit the text are left out."""
    if kind is not ProjectKind.ENTITIES:
        return Example(text, language, labels.categories)
    offsets = Offsets(text)
    spans: list[Span] = []
    for entity in labels.entities():
        span = offsets.span_to_code_points(entity.offset, entity.length)
        if span is not None:
            spans.append(Span(entity.category, *span))
    return Example(text, language, (), tuple(sorted(spans, key=lambda s: s.offset)))
