"""Builders of project files for the tests of this folder."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from shared.domain.errors import InvalidArgument
from shared.domain.project import Category
from shared.domain.project_file import LabeledDocument, ProjectDetails
from shared.wire.project_file import read_project_file
from shared.wire.project_file_writer import ProjectFileWriter

SINGLE = "CustomSingleLabelClassification"
MULTI = "CustomMultiLabelClassification"
ENTITIES = "CustomEntityRecognition"
LABEL_FIELDS = {SINGLE: "class", MULTI: "classes", ENTITIES: "entities"}


def file_of(kind: str, documents: list[Any], categories: tuple[str, ...] = ("A", "B")) -> dict[str, Any]:
    """A valid project file, but for what the test puts into `documents`."""
    listed = [{"category": name} for name in categories]
    return {
        "projectFileVersion": "2022-05-01",
        "stringIndexType": "Utf16CodeUnit",
        "metadata": {
            "projectKind": kind,
            "storageInputContainerName": "documents",
            "settings": {},
            "projectName": "contracts",
            "multilingual": False,
            "description": "",
            "language": "en-us",
        },
        "assets": {
            "projectKind": kind,
            "entities" if kind == ENTITIES else "classes": listed,
            "documents": documents,
        },
    }


def document(location: str = "a.txt", **fields: Any) -> dict[str, Any]:
    return {"location": location, "language": "en-us", "dataset": "Train", **fields}


def region(*labels: tuple[Any, Any, Any], offset: Any = 0, length: Any = 100) -> dict[str, Any]:
    entities = [{"category": c, "offset": o, "length": n} for c, o, n in labels]
    return {"regionOffset": offset, "regionLength": length, "labels": entities}


def encode(file: Any) -> bytes:
    return json.dumps(file).encode()


def errors_of(body: bytes | dict[str, Any]) -> dict[str | None, str]:
    """The errors of a file, message by path."""
    with pytest.raises(InvalidArgument) as caught:
        read_project_file(body if isinstance(body, bytes) else encode(body))
    found = caught.value.details or (caught.value,)
    return {error.target: error.message for error in found if isinstance(error, InvalidArgument)}


def write_project_file(
    details: ProjectDetails, categories: Iterable[Category], documents: Iterable[LabeledDocument]
) -> bytes:
    """A whole file, documents in the order of their locations."""
    writer = ProjectFileWriter(details, categories)
    ordered = sorted(documents, key=lambda document: document.location)
    return b"".join((writer.start(), writer.documents(ordered), writer.end()))
