"""Filters of lists of documents, and the parts of an export that is larger than an answer may be."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, cast

from labelbridge.client.models import Dataset, DocumentStatus


class DocumentFilters(TypedDict, total=False):
    """Which documents a list has; without filters all.

    Both confidences are included: of documents with a suggestion between them, of `category` where that is given.
    """

    status: DocumentStatus | None
    dataset: Dataset | None
    category: str | None
    job_id: str | None
    location_prefix: str | None
    flagged: bool | None
    min_confidence: float | None
    max_confidence: float | None
    #: A person's name; `@me`: the caller; `@none`: documents that are assigned to nobody.
    assigned_to: str | None
    #: A model, and the row and the column of its confusion matrix that count the documents.
    evaluated_model: str | None
    expected_category: str | None
    predicted_category: str | None


def in_camel_case(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Filters by the names that they have in requests."""
    return {re.sub("_(.)", lambda found: found[1].upper(), name): value for name, value in filters.items()}


#: Parts of an export, of 32 MiB each.
MOST_PARTS = 1_000


def has_next_part(part: bytes) -> bool:
    """Whether a part of an export has the address of another one, which is at its end."""
    return b'"nextLink":' in part[-4_096:]


def joined_parts(parts: Sequence[bytes]) -> bytes:
    """The project file of an export; the parts of a large one are project files with some of the documents each.

    Raises ValueError for what is no project file.
    """
    files = [_project_file(part) for part in parts]
    if len(parts) == 1:
        return parts[0]
    file = files[0]
    file.pop("nextLink", None)
    for part in files[1:]:
        file["assets"]["documents"] += part["assets"]["documents"]
    return json.dumps(file, ensure_ascii=False).encode()


def _project_file(part: bytes) -> dict[str, Any]:
    try:
        file: Any = json.loads(part)
        if isinstance(file["assets"]["documents"], list):
            return cast("dict[str, Any]", file)
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("It is not a project file.") from error
    raise ValueError("It is not a project file.")
