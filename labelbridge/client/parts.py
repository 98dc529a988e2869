"""Filters of lists of documents, and the parts of an export that is larger than an answer may be."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

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


def has_next_part(part: bytes) -> bool:
    """Whether a part of an export has the address of another one, which is at its end."""
    return b'"nextLink":' in part[-4_096:]


def joined_parts(parts: Sequence[bytes]) -> bytes:
    """The project file of an export; the parts of a large one are project files with some of the documents each."""
    if len(parts) == 1:
        return parts[0]
    file: dict[str, Any] = json.loads(parts[0])
    file.pop("nextLink", None)
    for part in parts[1:]:
        file["assets"]["documents"] += json.loads(part)["assets"]["documents"]
    return json.dumps(file, ensure_ascii=False).encode()
