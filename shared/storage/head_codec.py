"""Heads: what a page's row of summary holds, and how it follows from the documents."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from shared.domain.document import Document
from shared.domain.labels import Labels
from shared.domain.page import Entry, Head, Page, Tallies, entry_of, uncertainty
from shared.domain.project import Project
from shared.storage import keys, packing
from shared.storage.document_codec import encode_labels
from shared.storage.gateways.ports import Row, Value


def summarise(page: Page, project: Project) -> Head:
    order = uncertainty(project)
    documents = page.documents.values()
    return Head(
        number=page.number,
        seq=page.seq,
        entries=tuple(entry_of(d, order) for d in documents),
        categories=_count(d.labels for d in documents),
        aml_categories=_count(d.aml_labels for d in documents),
        tallies=page.tallies,
        labels_digest=_digest(page.documents),
    )


def _count(labels: Any) -> dict[str, int]:
    """How many documents have each category (for entities: how many spans)."""
    counts: Counter[str] = Counter()
    for one in labels:
        if isinstance(one, Labels):
            counts.update(one.used_categories())
    return dict(counts)


def _digest(documents: Mapping[str, Document]) -> str:
    """A hash of what training would learn from this page."""
    learned = [
        [
            d.id,
            d.content,
            d.dataset,
            d.missing,
            d.language,
            encode_labels(d.labels),
            encode_labels(d.aml_labels),
        ]
        for d in documents.values()
        if (d.labels is not None or d.aml_labels is not None) and d.rejection is None
    ]
    return hashlib.sha256(json.dumps(learned).encode()).hexdigest()[:16] if learned else ""


def encode(head: Head) -> dict[str, Value]:
    numbers = [n for e in head.entries for n in (e.flags, e.confidence, e.generation)]
    data = [numbers, head.categories, head.aml_categories, encode_tallies(head.tallies), head.labels_digest]
    return {"v": 1, "seq": head.seq, **packing.packed_values(data)}


def decode(row: Row) -> Head:
    numbers, categories, aml_categories, tallies, digest = packing.unpacked_values(row.values)
    entries = tuple(Entry(*numbers[i : i + 3]) for i in range(0, len(numbers), 3))
    return Head(
        number=keys.number_of(row.key),
        seq=packing.integer(row.values, "seq"),
        entries=entries,
        categories=categories,
        aml_categories=aml_categories,
        tallies=decode_tallies(tallies),
        labels_digest=digest,
    )


def encode_tallies(tallies: Tallies) -> list[list[int]]:
    return [[band, *counts] for band, counts in sorted(tallies.items())]


def decode_tallies(data: list[list[int]]) -> dict[int, tuple[int, int]]:
    return {band: (accepted, rejected) for band, accepted, rejected in data}
