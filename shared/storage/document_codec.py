"""Documents as compact JSON, for the pages. Defaults are left out; what follows from other fields is not stored."""

from collections.abc import Iterable, Mapping
from typing import Any

from shared.domain.document import Document, Undo, document_id
from shared.domain.kinds import Dataset
from shared.domain.labels import EntityLabel, Labels, Region
from shared.domain.suggestions import Rejected, Suggestion, SuggestionSet, suggestion_id
from shared.domain.text import Rejection

type Json = Any


def encode_labels(labels: Labels | None) -> Json:
    """None; a list of classes; or {"r": [[offset, length, [[category, offset, length], ...]], ...]}."""
    if labels is None:
        return None
    if not labels.regions:
        return list(labels.categories)
    return {
        "r": [
            [r.offset, r.length, [[e.category, e.offset, e.length] for e in r.labels]] for r in labels.regions
        ]
    }


def decode_labels(data: Json) -> Labels | None:
    if data is None:
        return None
    if isinstance(data, list):
        return Labels(categories=tuple(data))  # pyright: ignore[reportUnknownArgumentType] - our own JSON
    return Labels(
        regions=tuple(
            Region(o, n, tuple(EntityLabel(c, eo, en) for c, eo, en in labels)) for o, n, labels in data["r"]
        )
    )


def encode_suggestions(one: SuggestionSet | None) -> Json:
    if one is None:
        return None
    items = [
        [s.category, s.confidence, s.offset, s.length] if s.length else [s.category, s.confidence]
        for s in one.items
    ]
    return [one.job_id, one.engine, one.model, one.generation, one.revision, items]


def decode_suggestions(data: Json, content: str) -> SuggestionSet | None:
    if data is None:
        return None
    job_id, engine, model, generation, revision, items = data
    return SuggestionSet(
        job_id, engine, model, generation, revision, tuple(_suggestion(i, content) for i in items)
    )


def _suggestion(item: list[Any], content: str) -> Suggestion:
    category, confidence, offset, length = item if len(item) == 4 else (*item, 0, 0)
    return Suggestion(suggestion_id(content, category, offset, length), category, confidence, offset, length)


def _encode_rejected(rejected: frozenset[Rejected], content: str) -> Json:
    return sorted(["=" if one.content == content else one.content, *one[1:]] for one in rejected)


def encode_gone(gone: Mapping[str, frozenset[Rejected]]) -> Json:
    return [[key, _encode_rejected(rejected, "")] for key, rejected in gone.items()]


def decode_gone(data: Json) -> dict[str, frozenset[Rejected]]:
    return {key: _decode_rejected(rejected, "") for key, rejected in data}


def _decode_rejected(data: Json, content: str) -> frozenset[Rejected]:
    return frozenset(Rejected(content if c == "=" else c, *place) for c, *place in data)


def _encode_undo(undo: Undo | None, content: str) -> Json:
    if undo is None:
        return None
    return [
        undo.generation,
        undo.job_id,
        encode_labels(undo.labels),
        encode_suggestions(undo.suggestions),
        _encode_rejected(undo.rejected, content),
        undo.content_changed,
        undo.tallies,
    ]


def _decode_undo(data: Json, content: str) -> Undo | None:
    if data is None:
        return None
    generation, job_id, labels, suggestions, rejected, changed, tallies = data
    return Undo(
        generation,
        job_id,
        decode_labels(labels),
        decode_suggestions(suggestions, content),
        _decode_rejected(rejected, content),
        changed,
        tuple((band, accepted) for band, accepted in tallies),
    )


def encode(document: Document) -> dict[str, Json]:
    """One document. The id is not in it: it follows from the location."""
    data: dict[str, Json] = {
        "l": document.location,
        "g": document.language,
        "v": document.revision,
        "e": document.blob_etag,
        "c": document.content,
        "n": document.length,
    }
    optional: tuple[tuple[str, Json], ...] = (
        ("p", document.planned if document.planned != document.content else "="),
        ("k", document.characters if document.characters != document.length else 0),
        ("t", 1 if document.dataset is Dataset.TEST else 0),
        ("L", encode_labels(document.labels)),
        ("A", encode_labels(document.aml_labels)),
        ("x", 1 if document.content_changed else 0),
        ("m", 1 if document.missing else 0),
        ("R", [document.rejection.code, document.rejection.message] if document.rejection else None),
        ("P", document.problems or None),
        ("S", encode_suggestions(document.suggestions)),
        ("N", _encode_rejected(document.rejected, document.content) or None),
        ("U", _encode_undo(document.undo, document.content)),
    )
    data.update((key, value) for key, value in optional if value not in (None, 0, ""))
    return data


def decode(data: Mapping[str, Json]) -> Document:
    content, length = data["c"], data["n"]
    planned = data.get("p", "")
    rejection = data.get("R")
    return Document(
        id=document_id(data["l"]),
        location=data["l"],
        language=data["g"],
        revision=data["v"],
        blob_etag=data["e"],
        content=content,
        length=length,
        planned=content if planned == "=" else planned,
        characters=data.get("k", length or 0),
        dataset=Dataset.TEST if data.get("t") else Dataset.TRAIN,
        labels=decode_labels(data.get("L")),
        aml_labels=decode_labels(data.get("A")),
        content_changed=bool(data.get("x")),
        missing=bool(data.get("m")),
        rejection=Rejection(*rejection) if rejection else None,
        problems=tuple(data.get("P", ())),
        suggestions=decode_suggestions(data.get("S"), content),
        rejected=_decode_rejected(data.get("N", ()), content),
        undo=_decode_undo(data.get("U"), content),
    )


def encode_all(documents: Iterable[Document]) -> list[dict[str, Json]]:
    return [encode(document) for document in documents]


def decode_all(data: Iterable[Mapping[str, Json]]) -> dict[str, Document]:
    """By id, in the order of ids."""
    return dict(sorted((d.id, d) for d in map(decode, data)))
