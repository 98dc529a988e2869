"""A new project from a label file of AML: the file is converted to an Azure project file and imported."""

import asyncio
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from shared.domain.errors import Conflict, InvalidArgument
from shared.domain.jobs import Job, JobError
from shared.domain.labels import Labels
from shared.domain.names import Dataset, ProjectKind
from shared.domain.project import MAX_CATEGORIES, Category
from shared.domain.project_file import LabeledDocument, ProjectDetails
from shared.domain.text import Offsets
from shared.services.jobs.stores import Stores
from shared.services.project_files.imports import ImportService
from shared.wire.aml_jsonl import AmlLine, BadLine, OffsetUnit, read_stream, to_labels
from shared.wire.project_file_writer import ProjectFileWriter

MAX_SKIPPED = 20


@dataclass(frozen=True, slots=True)
class LabelsRequest:
    """`datastore` None: that of the first line. `test_percentage` of the documents, chosen by their names, become the
    test set. `warnings` are for the job.
    """

    details: ProjectDetails
    container: str
    blob: str
    unit: OffsetUnit = OffsetUnit.UTF16
    datastore: str | None = None
    test_percentage: int = 0
    warnings: tuple[JobError, ...] = ()


class ImportLabelsService:
    def __init__(self, stores: Stores, imports: ImportService) -> None:
        self._stores = stores
        self._imports = imports

    async def start(self, name: str, request: LabelsRequest, by: str, job_id: str) -> Job:
        """Raises InvalidArgument for what the request lacks, Conflict when the project exists already."""
        existing = await self._stores.projects.find(name)
        if existing is not None:
            raise Conflict(
                f"The project '{name}' already exists; labels are imported into a new project.",
                target="projectName",
            )
        if await self._stores.blobs.stat(request.container, request.blob) is None:
            raise InvalidArgument(
                f"The blob '{request.container}/{request.blob}' does not exist.", target="labelsFile"
            )
        lines, bad = await self._read_lines(request)
        documents = await self._documents(request, lines, bad)
        if not documents:
            reason = f" Line {min(bad)}: {bad[min(bad)]}" if bad else ""
            raise InvalidArgument(f"No line of the label file can be imported.{reason}", target="labelsFile")
        details = replace(request.details, name=name)
        body = await asyncio.to_thread(_project_file, details, documents)
        skipped = tuple(JobError("InvalidLine", f"Line {n}: {bad[n]}", f"line {n}") for n in sorted(bad))
        return await self._imports.start(
            name, body, by, job_id, skipped=skipped[:MAX_SKIPPED], warnings=request.warnings
        )

    async def _read_lines(self, request: LabelsRequest) -> tuple[list[AmlLine], dict[int, str]]:
        lines: list[AmlLine] = []
        bad: dict[int, str] = {}
        known: set[str] = set()
        chunks = self._stores.blobs.stream_read(request.container, request.blob)
        async for line in read_stream(chunks, request.details.kind, request.datastore):
            if isinstance(line, BadLine):
                bad[line.number] = line.reason
                continue
            names = known | line.used_categories()
            if len(names) > MAX_CATEGORIES:
                bad[line.number] = f"Its categories exceed the limit of {MAX_CATEGORIES} for a project."
                continue
            known = names
            lines.append(line)
        return lines, bad

    async def _documents(
        self, request: LabelsRequest, lines: list[AmlLine], bad: dict[int, str]
    ) -> list[LabeledDocument]:
        """Entities need the texts, for the length of the region and for offsets in code points."""
        details = request.details

        async def read(line: AmlLine) -> Labels | str:
            if details.kind is not ProjectKind.ENTITIES:
                return Labels(line.categories)
            reading = await self._stores.uploads.inspect(details.container, line.location)
            text = Offsets(reading.text) if reading and reading.text is not None else None
            if text is None and line.spans and request.unit is OffsetUnit.CODE_POINT:
                return "The document cannot be read, so its offsets cannot be converted."
            return to_labels(line, details.kind, None, text, request.unit)

        documents: list[LabeledDocument] = []
        for start in range(0, len(lines), 500):
            some = lines[start : start + 500]
            for line, labels in zip(some, await asyncio.gather(*map(read, some)), strict=True):
                if isinstance(labels, str):
                    bad[line.number] = labels
                else:
                    dataset = _dataset(line.location, request.test_percentage)
                    documents.append(LabeledDocument(line.location, details.language, dataset, labels))
        return documents


def _dataset(location: str, test_percentage: int) -> Dataset:
    share = int.from_bytes(hashlib.sha256(location.encode("utf-8", "surrogatepass")).digest()[:4]) % 100
    return Dataset.TEST if share < test_percentage else Dataset.TRAIN


def _project_file(details: ProjectDetails, documents: Iterable[LabeledDocument]) -> bytes:
    documents = list(documents)
    used = {name for document in documents if document.labels for name in document.labels.used_categories()}
    writer = ProjectFileWriter(details, map(Category, sorted(used)))
    return writer.start() + writer.documents(documents) + writer.end()
