"""A new project from a label file of AML: the file becomes an Azure project file, and goes the way of those."""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.domain.errors import Conflict, InvalidArgument
from shared.domain.jobs import Job, JobError
from shared.domain.kinds import Dataset, ProjectKind
from shared.domain.labels import Labels
from shared.domain.project import MAX_CATEGORIES
from shared.domain.text import Offsets
from shared.services.imports import ImportService
from shared.services.stores import Stores
from shared.wire.aml_jsonl import OffsetUnit, read_stream, to_labels
from shared.wire.aml_line import AmlLine, BadLine
from shared.wire.labels import write_labels

MAX_TOLD = 20


@dataclass(frozen=True, slots=True)
class LabelsRequest:
    """`metadata` as in a project file. `datastore` None: that of the first line. `test_percentage` of the documents,
    chosen by their names, become the test set.
    """

    metadata: Mapping[str, Any]
    container: str
    blob: str
    unit: OffsetUnit = OffsetUnit.UTF16
    datastore: str | None = None
    test_percentage: int = 0


class ImportLabelsService:
    def __init__(self, stores: Stores, imports: ImportService) -> None:
        self._stores = stores
        self._imports = imports

    async def start(self, name: str, request: LabelsRequest, by: str, job_id: str) -> Job:
        """Raises InvalidArgument for what the request lacks, Conflict when the project exists already."""
        existing = await self._stores.projects.find(name)
        if existing is not None:
            raise Conflict(
                f"The project '{name}' exists already; labels make a new one.", target="projectName"
            )
        if await self._stores.blobs.stat(request.container, request.blob) is None:
            raise InvalidArgument(
                f"There is no blob '{request.container}/{request.blob}'.", target="labelsFile"
            )
        kind = _kind(request.metadata)
        lines, bad = await self._read(request, kind)
        documents = await self._documents(request, kind, lines, bad)
        if not documents:
            reason = f" Line {min(bad)}: {bad[min(bad)]}" if bad else ""
            raise InvalidArgument(f"No line of the label file can be taken.{reason}", target="labelsFile")
        body = json.dumps(_project_file(name, request.metadata, kind, documents), ensure_ascii=False).encode()
        told = tuple(JobError("InvalidLine", f"Line {n}: {bad[n]}", f"line {n}") for n in sorted(bad))
        return await self._imports.start(name, body, by, job_id, told=told[:MAX_TOLD])

    async def _read(self, request: LabelsRequest, kind: ProjectKind) -> tuple[list[AmlLine], dict[int, str]]:
        lines: list[AmlLine] = []
        bad: dict[int, str] = {}
        known: set[str] = set()
        chunks = self._stores.blobs.stream_read(request.container, request.blob)
        async for one in read_stream(chunks, kind, request.datastore):
            if isinstance(one, BadLine):
                bad[one.number] = one.reason
                continue
            names = known | {*one.categories, *(span.category for span in one.spans)}
            if len(names) > MAX_CATEGORIES:
                bad[one.number] = f"It has a category more than the {MAX_CATEGORIES} a project can have."
                continue
            known = names
            lines.append(one)
        return lines, bad

    async def _documents(
        self, request: LabelsRequest, kind: ProjectKind, lines: list[AmlLine], bad: dict[int, str]
    ) -> list[tuple[str, Dataset, Labels]]:
        """Entities need the texts, for the length of the one region and for offsets in code points."""
        container = str(request.metadata.get("storageInputContainerName", ""))

        async def read(line: AmlLine) -> Labels | str:
            if kind is not ProjectKind.ENTITIES:
                return Labels(line.categories)
            reading = await self._stores.uploads.look(container, line.location)
            if reading is None or reading.text is None:
                if request.unit is OffsetUnit.CODE_POINT and line.spans:
                    return "The document's text cannot be read, so offsets cannot be told."
                return to_labels(line, kind, max((span.end for span in line.spans), default=0))
            offsets = Offsets(reading.text)
            unit = offsets if request.unit is OffsetUnit.CODE_POINT else None
            return to_labels(line, kind, offsets.utf16_length, unit)

        documents: list[tuple[str, Dataset, Labels]] = []
        for start in range(0, len(lines), 500):
            some = lines[start : start + 500]
            for line, labels in zip(some, await asyncio.gather(*map(read, some)), strict=True):
                if isinstance(labels, str):
                    bad[line.number] = labels
                else:
                    documents.append(
                        (line.location, _dataset(line.location, request.test_percentage), labels)
                    )
        return documents


def _kind(metadata: Mapping[str, Any]) -> ProjectKind:
    kind = ProjectKind.parse(str(metadata.get("projectKind", "")))
    if kind is None:
        raise InvalidArgument("The kind of the project is missing or unknown.", target="metadata.projectKind")
    return kind


def _dataset(location: str, test_percentage: int) -> Dataset:
    share = int.from_bytes(hashlib.sha256(location.encode("utf-8", "surrogatepass")).digest()[:4]) % 100
    return Dataset.TEST if share < test_percentage else Dataset.TRAIN


def _project_file(
    name: str, metadata: Mapping[str, Any], kind: ProjectKind, documents: list[tuple[str, Dataset, Labels]]
) -> dict[str, Any]:
    names = sorted({category for _, _, labels in documents for category in labels.used_categories()})
    return {
        "projectFileVersion": "2022-05-01",
        "stringIndexType": "Utf16CodeUnit",
        "metadata": {**metadata, "projectName": name},
        "assets": {
            "projectKind": kind,
            kind.category_list: [{"category": category} for category in names],
            "documents": [
                {
                    "location": location,
                    "language": metadata.get("language"),
                    "dataset": dataset,
                    kind.label_field: write_labels(kind, labels),
                }
                for location, dataset, labels in documents
            ],
        },
    }
