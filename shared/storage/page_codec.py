"""The rows of a page and of its head: documents as compact JSON, packed.

Of a document, defaults are left out, and so is what follows from other fields. Documents too large for a row are
stored in blobs named by their content, which are written before the row. Strings that many documents have are read as
one object (`intern`), because thousands of documents are held in memory.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import lru_cache
from sys import intern
from typing import Any

from shared.domain.document import Document, Undo, document_id
from shared.domain.labels import (
    NONE_REJECTED,
    EntityLabel,
    Labels,
    Region,
    Rejected,
    Suggestion,
    SuggestionSet,
    suggestion_id,
)
from shared.domain.names import Dataset
from shared.domain.page import (
    FENCES,
    Action,
    CategoryRemoval,
    CategoryRenaming,
    ContentChange,
    DecisionChange,
    Deletion,
    Details,
    EngineTallies,
    EngineTally,
    Entry,
    Head,
    HistoryEntry,
    ImportedLabels,
    LabelChange,
    Page,
    SettingsChange,
    Tallies,
    entry_of,
    uncertainty,
)
from shared.domain.project import Project
from shared.domain.text import Rejection
from shared.storage.gateways.ports import Row, Value
from shared.storage.rows import (
    MAX_PACKED,
    from_parts,
    int_of,
    number_of,
    pack,
    pack_text,
    packed_values,
    str_of,
    to_json,
    to_parts,
    unpack,
    unpacked_values,
)
from shared.wire import json_codec

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


@lru_cache(1_000)
def _classes(names: tuple[str, ...]) -> Labels:
    """Documents with equal classes share one object, and the key is its own tuple."""
    return Labels(names)


def decode_labels(data: Json) -> Labels | None:
    if data is None:
        return None
    if isinstance(data, list):
        return _classes(tuple(map(intern, data)))  # pyright: ignore[reportUnknownArgumentType] - our own JSON
    return Labels(
        regions=tuple(
            Region(o, n, tuple(EntityLabel(intern(c), eo, en) for c, eo, en in labels))
            for o, n, labels in data["r"]
        )
    )


_DETAILS: dict[Action, type[Details]] = {
    Action.DECIDED: DecisionChange,
    Action.DECISION_UNDONE: LabelChange,
    Action.LABELS_SET: LabelChange,
    Action.LABELS_UNDONE: LabelChange,
    Action.LABELS_IMPORTED: LabelChange,
    Action.LABELS_ADOPTED: LabelChange,
    Action.DOCUMENT_CHANGED: SettingsChange,
    Action.CATEGORY_RENAMED: CategoryRenaming,
    Action.CATEGORY_REMOVED: CategoryRemoval,
    Action.IMPORTED: ImportedLabels,
    Action.CONTENT_CHANGED: ContentChange,
    Action.DELETED: Deletion,
}


def encode_entry(entry: HistoryEntry) -> Json:
    return [entry.document_id, entry.action, json_codec.to_json(entry.details, encode_labels)]


def decode_entry(data: Json) -> HistoryEntry:
    document_id, name, details = data
    action = Action(name)
    if action is Action.DOCUMENT_CHANGED and "after" not in details:  # as the first version wrote it
        details = {"after": details}
    return HistoryEntry(document_id, action, json_codec.from_json(_DETAILS[action], details, decode_labels))


def encode_suggestions(suggestions: SuggestionSet | None) -> Json:
    if suggestions is None:
        return None
    items = [_encode_suggestion(item) for item in suggestions.items]
    return [
        suggestions.job_id,
        suggestions.engine,
        suggestions.model,
        suggestions.generation,
        suggestions.revision,
        items,
    ]


def _encode_suggestion(suggestion: Suggestion) -> list[Any]:
    if suggestion.raw is not None:
        return [
            suggestion.category,
            suggestion.confidence,
            suggestion.offset,
            suggestion.length,
            suggestion.raw,
        ]
    return (
        [suggestion.category, suggestion.confidence, suggestion.offset, suggestion.length]
        if suggestion.length
        else [suggestion.category, suggestion.confidence]
    )


def decode_suggestions(data: Json, content: str) -> SuggestionSet | None:
    if data is None:
        return None
    job_id, engine, model, generation, revision, items = data
    return SuggestionSet(
        intern(job_id),
        intern(engine),
        model and intern(model),
        generation,
        intern(revision),
        tuple(_suggestion(i, content) for i in items),
    )


def _suggestion(item: list[Any], content: str) -> Suggestion:
    category, confidence, *place = item
    offset, length, *raw = place or (0, 0)
    key = suggestion_id(content, category, offset, length)
    return Suggestion(key, intern(category), confidence, offset, length, *raw)


def _encode_rejected(rejected: frozenset[Rejected], content: str) -> Json:
    return sorted(
        ["=" if rejection.content == content else rejection.content, *rejection[1:]] for rejection in rejected
    )


def encode_gone(gone: Mapping[str, frozenset[Rejected]]) -> Json:
    return [[key, _encode_rejected(rejected, "")] for key, rejected in gone.items()]


def decode_gone(data: Json) -> dict[str, frozenset[Rejected]]:
    return {key: _decode_rejected(rejected, "") for key, rejected in data}


def _decode_rejected(data: Json, content: str) -> frozenset[Rejected]:
    return (
        frozenset(Rejected(content if c == "=" else c, *place) for c, *place in data)
        if data
        else NONE_REJECTED
    )


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
        *(
            (undo.problems, _encode_undo(undo.earlier, content))
            if undo.by_hand or undo.former is not None
            else ()
        ),
        *((undo.by_hand, undo.former) if undo.former is not None else ()),
    ]


def _decode_undo(data: Json, content: str) -> Undo | None:
    if data is None:
        return None
    generation, job_id, labels, suggestions, rejected, changed, tallies, *more = data
    problems, earlier, *rest = more or ((), None)
    by_hand, former = rest or (bool(more), None)
    return Undo(
        generation,
        job_id,
        decode_labels(labels),
        decode_suggestions(suggestions, content),
        _decode_rejected(rejected, content),
        changed,
        tuple((band, accepted) for band, accepted in tallies),
        by_hand=by_hand,
        problems=tuple(problems),
        earlier=_decode_undo(earlier, content),
        former=former,
    )


def encode_document(document: Document) -> dict[str, Json]:
    """One document. The id is not in it: it follows from the location."""
    data: dict[str, Json] = {
        "l": document.location,
        "g": document.language,
        "v": document.revision,
        "e": document.blob_etag,
        "c": document.content,
        "n": document.length,
    }
    if document.labels is not None:
        data["L"] = encode_labels(document.labels)
    if document.aml_labels is not None:
        data["A"] = encode_labels(document.aml_labels)
    content, undo, rejection = document.content, document.undo, document.rejection
    optional: tuple[tuple[str, Json], ...] = (
        ("p", document.planned if document.planned != content else "="),
        ("k", document.characters if document.characters != document.length else 0),
        ("w", document.excerpt),
        ("t", 1 if document.dataset is Dataset.TEST else 0),
        ("x", 1 if document.content_changed else 0),
        ("C", document.labeled_content),
        ("m", 1 if document.missing else 0),
        ("R", [rejection.code, rejection.message] if rejection else None),
        ("P", document.problems),
        ("S", encode_suggestions(document.suggestions)),
        ("N", _encode_rejected(document.rejected, content) if document.rejected else None),
        ("U", _encode_undo(undo, content) if undo else None),
        ("f", 1 if document.flagged else 0),
        ("a", document.assignee),
        ("o", document.note),
    )
    return data | {key: value for key, value in optional if value}


def decode_document(data: Mapping[str, Json]) -> Document:
    content, length = data["c"], data["n"]
    planned = data.get("p", "")
    rejection = data.get("R")
    return Document(
        id=document_id(data["l"]),
        location=data["l"],
        language=intern(data["g"]),
        revision=intern(data["v"]),
        blob_etag=data["e"],
        content=content,
        length=length,
        planned=content if planned == "=" else planned,
        characters=data.get("k", length or 0),
        excerpt=data.get("w", ""),
        dataset=Dataset.TEST if data.get("t") else Dataset.TRAIN,
        labels=decode_labels(data.get("L")),
        aml_labels=decode_labels(data.get("A")),
        content_changed=bool(data.get("x")),
        labeled_content=data.get("C", ""),
        missing=bool(data.get("m")),
        rejection=Rejection(*rejection) if rejection else None,
        problems=tuple(data.get("P", ())),
        suggestions=decode_suggestions(data.get("S"), content),
        rejected=_decode_rejected(data.get("N", ()), content),
        undo=_decode_undo(data.get("U"), content),
        flagged=bool(data.get("f")),
        assignee=data.get("a", ""),
        note=data.get("o", ""),
    )


def encode_documents(documents: Iterable[Document]) -> list[dict[str, Json]]:
    return [encode_document(document) for document in documents]


def decode_documents(data: Iterable[Mapping[str, Json]]) -> dict[str, Document]:
    """By id, in the order of ids."""
    return dict(sorted((d.id, d) for d in map(decode_document, data)))


def summarize(page: Page, project: Project) -> Head:
    order = uncertainty(project)
    documents = page.documents.values()
    return Head(
        number=page.number,
        seq=page.seq,
        entries=tuple(entry_of(d, order) for d in documents),
        categories=_count(d.labels for d in documents),
        aml_categories=_count(d.aml_labels for d in documents),
        tallies=page.tallies,
        engines=page.engines,
        labels_digest=_digest(page.documents),
    )


def _count(labels: Iterable[Labels | None]) -> dict[str, int]:
    """How many documents have each category (for entities: how many spans)."""
    counts: Counter[str] = Counter()
    for document_labels in labels:
        if document_labels is not None:
            counts.update(document_labels.used_categories())
    return dict(counts)


def _digest(documents: Mapping[str, Document]) -> str:
    """A hash of the training data of this page."""
    data = [learned(document) for document in documents.values() if is_learned(document)]
    return digest_of(json.dumps(data)) if data else ""


def is_learned(document: Document) -> bool:
    """Whether the document is training data."""
    labeled = document.labels is not None or document.aml_labels is not None
    return labeled and document.rejection is None


def learned(document: Document) -> Json:
    """What is learned from a document."""
    return [
        document.id,
        document.content,
        document.dataset,
        document.missing,
        document.language,
        encode_labels(document.labels),
        encode_labels(document.aml_labels),
        *([True] if document.content_changed else []),
    ]


def digest_of(data: str) -> str:
    return hashlib.sha256(data.encode()).hexdigest()[:16]


def encode_head(head: Head) -> dict[str, Value]:
    numbers = [n for e in head.entries for n in (e.flags, e.confidence, e.generation)]
    tallies = encode_tallies(head.tallies)
    engines = encode_engine_tallies(head.engines)
    data = [numbers, head.categories, head.aml_categories, tallies, head.labels_digest, engines]
    people = sorted({entry.assignee for entry in head.entries})
    if people not in ([], [""]):
        places = {person: place for place, person in enumerate(people)}
        data.append([people, [places[entry.assignee] for entry in head.entries]])
    return {"v": 1, "seq": head.seq, **packed_values(data)}


def decode_head(row: Row) -> Head:
    numbers, categories, aml_categories, tallies, digest, *more = unpacked_values(row.values)
    engines, assigned = (*more, None, None)[:2]  # older rows have neither
    people, places = assigned or ([""], [0] * (len(numbers) // 3))
    triples = zip(numbers[::3], numbers[1::3], numbers[2::3], places, strict=True)
    entries = tuple(
        Entry(flags, confidence, made, people[place]) for flags, confidence, made, place in triples
    )
    return Head(
        number=number_of(row.key),
        seq=int_of(row.values, "seq"),
        entries=entries,
        categories=categories,
        aml_categories=aml_categories,
        tallies=decode_tallies(tallies),
        engines=decode_engine_tallies(engines or []),
        labels_digest=digest,
    )


def encode_tallies(tallies: Tallies) -> list[list[int]]:
    return [[band, *counts] for band, counts in sorted(tallies.items())]


def decode_tallies(data: list[list[int]]) -> dict[int, tuple[int, int]]:
    return {band: (accepted, rejected) for band, accepted, rejected in data}


def encode_engine_tallies(tallies: EngineTallies) -> list[list[Json]]:
    """The name of the model is last, and only where there is one: earlier versions wrote none."""
    return [list(tally if tally.model else tally[:-1]) for _, tally in sorted(tallies.items())]


def decode_engine_tallies(data: list[list[Any]]) -> dict[tuple[str, str, int], EngineTally]:
    read = (EngineTally(*row) for row in data)
    return {(tally.engine, tally.model, tally.band): tally for tally in read}


FENCE_COLUMNS = tuple(f"g{i}" for i in range(FENCES))
_NO_FENCES = (0,) * FENCES

type ReadSpill = Callable[[str], Awaitable[bytes]]
type WriteSpill = Callable[[str, bytes], Awaitable[None]]


async def encode_page(
    page: Page, spill_prefix: str, write_spill: WriteSpill, texts: Iterable[str] | None = None
) -> dict[str, Value]:
    """The values of the row; fence numbers are written too, for a replace would lose them.

    `texts`: the JSON of its documents, where it is known.
    """
    others = [encode_tallies(page.tallies), encode_gone(page.gone), encode_engine_tallies(page.engines)]
    if texts is None:
        packed = pack([encode_documents(page.documents.values()), *others])
    else:
        packed = pack_text(f"[[{','.join(texts)}],{to_json(others)[1:]}")
    if len(packed) > MAX_PACKED:
        documents = await _spill(encode_documents(page.documents.values()), spill_prefix, write_spill)
        packed = pack([documents, *others])
    values: dict[str, Value] = {"v": 1, "seq": page.seq, "rev": page.revision}
    if any(page.fences):
        values |= {name: number for name, number in zip(FENCE_COLUMNS, page.fences, strict=True) if number}
    return values | to_parts(packed)


async def _spill(documents: list[dict[str, Any]], prefix: str, write: WriteSpill) -> list[dict[str, Any]]:
    """Move the largest documents out, each to a blob of its own, until the rest fits.

    The rest is measured unpacked against the limit of the packed row, so that it fits whatever the compression.
    """
    sizes = [(len(json.dumps(d)), i) for i, d in enumerate(documents)]
    left = sum(size for size, _ in sizes)
    kept = list(documents)
    for size, index in sorted(sizes, reverse=True):
        if left <= MAX_PACKED:
            break
        packed = pack(documents[index])
        name = f"{prefix}/{hashlib.sha256(packed).hexdigest()[:32]}"
        await write(name, packed)
        kept[index] = {"spill": name}
        left -= size
    return kept


async def decode_page(row: Row, read_spill: ReadSpill) -> Page:
    values = row.values
    packed = from_parts(values)
    content: list[list[Any]] = unpack(packed) if packed else [[], []]
    documents, tallies, *more = content
    gone, engines = (*more, [], [])[:2]  # older rows have neither
    whole = [unpack(await read_spill(d["spill"])) if "spill" in d else d for d in documents]
    return Page(
        number=number_of(row.key),
        documents=decode_documents(whole),
        tallies=decode_tallies(tallies),
        seq=int_of(values, "seq"),
        revision=str_of(values, "rev"),
        fences=_NO_FENCES
        if values.keys().isdisjoint(FENCE_COLUMNS)
        else tuple(int_of(values, name) for name in FENCE_COLUMNS),
        gone=decode_gone(gone),
        engines=decode_engine_tallies(engines),
        etag=row.etag,
    )
