"""Labels between a project and its other studio: handed over, pinned, imported, adopted.

An import works on a pinned copy, so that every worker that resumes it sees the same lines; its batches are
claimed like those of any job, so that a late worker commits nothing (design section 5).
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

from shared.domain.errors import Unavailable
from shared.domain.ids import derived_id, random_id
from shared.domain.jobs import BatchResult, Job, JobError
from shared.domain.kinds import ProjectKind
from shared.domain.page import Change, page_of
from shared.domain.project import Project, define
from shared.domain.text import Offsets
from shared.services.label_lines import Importing, LabelLines, adopting, collect, needs_text, strangers
from shared.services.stores import Stores
from shared.storage.page_rows import Author
from shared.wire.aml_jsonl import OffsetUnit, can_be_written, read_stream, to_line

PAGES_A_BATCH = 32
ADOPT_BATCHES = 1_000
MAX_TOLD = 20

type Watch = Callable[[], Awaitable[None]]
"""Raises when the operation is no longer the one under way."""


@dataclass(frozen=True, slots=True)
class Imported:
    """`told`: the bad lines, at most 20 of `bad`."""

    documents: int
    bad: int
    told: tuple[JobError, ...]


class LabelExchange:
    def __init__(self, stores: Stores, unit: OffsetUnit) -> None:
        self._stores = stores
        self._unit = unit

    # Out

    async def lines(self, project: Project, datastore: str) -> AsyncIterator[bytes]:
        """A line for every document with labels here, as far as the file has a word for them (rule D6)."""
        async for page in self._stores.pages.scan(project.scope):
            for document in page.documents.values():
                labels = document.labels
                if labels is None or not can_be_written(labels, project.kind):
                    continue
                plain = document.length == document.characters
                offsets = None
                if self._unit is OffsetUnit.CODE_POINT and project.kind is ProjectKind.ENTITIES and not plain:
                    offsets = await self._offsets(project.container, document.location)
                yield to_line(document.location, labels, project.kind, datastore, offsets)

    async def _offsets(self, container: str, location: str) -> Offsets | None:
        reading = await self._stores.uploads.look(container, location)
        return Offsets(reading.text) if reading and reading.text is not None else None

    # In

    async def pin(self, name: str, files: tuple[tuple[str, str], ...]) -> str:
        """Copy the files into one blob of ours; return its digest."""
        data = bytearray()
        for container, blob in files:
            async for chunk in self._stores.blobs.stream_read(container, blob):
                data += chunk
            if data and not data.endswith(b"\n"):
                data += b"\n"
        await self._stores.artefacts.write(name, bytes(data), content_type="application/x-ndjson")
        return hashlib.sha256(data).hexdigest()

    async def bring_in(
        self, project: Project, job: Job, pinned: str, datastore: str, watch: Watch
    ) -> Imported:
        """The pinned lines into `aml_labels` (never into our own labels). Unknown categories are defined."""
        lines = await collect(read_stream(self._pinned(pinned), project.kind, datastore), project)
        if lines.categories:
            await watch()
            await self._stores.directory.update(project.name, lambda now: define(now, lines.categories))
        complete = not lines.bad
        for number, low, high in _batches(project.pages):
            await self._import_batch(project, _Run(job, number, low, high, watch), lines, complete=complete)
        told = [JobError("InvalidLine", f"Line {n}: {lines.bad[n]}", f"line {n}") for n in sorted(lines.bad)]
        return Imported(lines.good - _refused(lines), len(lines.bad), tuple(told[:MAX_TOLD]))

    async def adopt(self, project: Project, job: Job, watch: Watch) -> None:
        """Rule C5: where AML labeled a document, its labels become ours."""
        for number, low, high in _batches(project.pages):
            run = _Run(job, ADOPT_BATCHES + number, low, high, watch)
            await self._write(project, run, adopting(derived_id(job.id, str(run.number))))

    async def count_changed(self, pinned: str, files: tuple[tuple[str, str], ...]) -> int:
        """How many lines of the files differ from those that were imported last."""
        known: set[bytes] = set()
        if pinned:
            known = {hashlib.sha256(line).digest() async for line in _split(self._pinned(pinned))}
        changed = 0
        for container, blob in files:
            async for line in _split(self._stores.blobs.stream_read(container, blob)):
                changed += hashlib.sha256(line).digest() not in known
        return changed

    async def _import_batch(
        self, project: Project, run: "_Run", lines: LabelLines, *, complete: bool
    ) -> None:
        wanted = lines.between(run.low, run.high)
        pages = await self._stores.pages.load_range(project.scope, run.low, run.high)
        for line in strangers(wanted, pages.values()):
            lines.refuse(line, f"The project has no document '{line.location}'.")
        texts: dict[str, Offsets] = {}
        for document in (d for page in pages.values() for d in page.documents.values()):
            if document.id in wanted and needs_text(wanted[document.id], document, self._unit):
                offsets = await self._offsets(project.container, document.location)
                if offsets is None:
                    lines.refuse(
                        wanted[document.id], "The document's text cannot be read, so offsets cannot be told."
                    )
                    lines.pages[page_of(document.id, project.pages)].pop(document.id)
                else:
                    texts[document.id] = offsets
        revision = derived_id(run.job.id, str(run.number))
        await self._write(project, run, Importing(lines, texts, complete=complete, revision=revision))

    async def _write(self, project: Project, run: "_Run", change: Change) -> None:
        """Claim the batch and commit it with its pages; nothing is written where nothing changes."""
        loaded = await self._stores.pages.load_range(project.scope, run.low, run.high)
        numbers = [n for n, page in loaded.items() if change(page, project) is not None]
        if not numbers:
            return
        await run.watch()
        now = self._stores.clock()
        claim = await self._stores.jobs.claim(run.job, run.number, random_id(), now)
        if claim is None:
            states = await self._stores.jobs.states(run.job)
            if any(state.number == run.number and state.done for state in states):
                return  # it was done before; what came to the pages since is for the next import
            raise Unavailable("Another worker is at this batch.", retry_after=5)
        claim.close_with(BatchResult)
        handle = await self._stores.directory.fresh(project.name)
        author = Author(run.job.parameters.get("actor", ""), now, derived_id(run.job.id, str(run.number)))
        await self._stores.pages.write(
            handle, numbers, change, author, passes_gate=True, loaded=loaded, closing=claim
        )

    async def _pinned(self, name: str) -> AsyncIterator[bytes]:
        data = await self._stores.artefacts.read(name)
        if data is None:
            raise Unavailable("The copy of the label file is missing.", retry_after=5)
        yield data


@dataclass(frozen=True, slots=True)
class _Run:
    job: Job
    number: int
    low: int
    high: int
    watch: Watch


def _batches(pages: int) -> Iterator[tuple[int, int, int]]:
    for number, low in enumerate(range(0, pages, PAGES_A_BATCH)):
        yield number, low, min(low + PAGES_A_BATCH, pages)


def _refused(lines: LabelLines) -> int:
    """Lines that were read well but do not fit their document."""
    return sum(line.number in lines.bad for page in lines.pages.values() for line in page.values())


async def _split(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line.strip():
                yield line.rstrip(b"\r")
    if rest.strip():
        yield rest.rstrip(b"\r")
