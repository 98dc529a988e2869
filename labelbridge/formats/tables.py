"""CSV with one row per label, and JSON Lines with one object per document.

    location,dataset,language,category,start,end,text       the last three for entities
    inbox/1.txt,Train,en-us,City,10,15,Paris

    {"location": "inbox/1.txt", "dataset": "Train", "language": "en-us", "text": "...",
     "entities": [{"category": "City", "start": 10, "end": 15, "text": "Paris"}]}

An empty category means labeled with nothing. JSON Lines have `category` or `categories` for classes.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, TextIO, cast

from labelbridge.formats.records import (
    BadFile,
    Field,
    Record,
    Span,
    dataset_of,
    number_of,
    one_class,
    text_of,
)

CLASS_COLUMNS = ("location", "dataset", "language", "category")
ENTITY_COLUMNS = (*CLASS_COLUMNS, "start", "end", "text")


def write_csv(records: Iterable[Record], out: TextIO, field: Field) -> list[str]:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(ENTITY_COLUMNS if field == "entities" else CLASS_COLUMNS)
    for record in records:
        first = (record.location, record.dataset, record.language)
        if field == "entities":
            rows = [(*first, s.category, s.start, s.end, s.quote) for s in record.spans]
            writer.writerows(rows or [(*first, "", "", "", "")])
        else:
            writer.writerows([(*first, name) for name in record.categories or ("",)])
    return []


def read_csv(file: TextIO, field: Field) -> Iterator[Record]:
    rows = csv.DictReader(file, strict=True)
    found: dict[str, Record] = {}
    try:
        missing = {"location", "category"} - set(rows.fieldnames or ())
        if missing:
            raise BadFile(f"Line 1: the columns {' and '.join(sorted(missing))} are missing.")
        for row in rows:
            _add_row(found, row, field, f"Line {rows.line_num}")
    except csv.Error as error:
        raise BadFile(f"Line {rows.line_num}: {error}.") from error
    yield from found.values()


def _add_row(found: dict[str, Record], row: dict[str, Any], field: Field, place: str) -> None:
    location = text_of(row["location"], "the location", place)
    category = row["category"] or ""
    empty = Record(
        place, location, dataset=dataset_of(row.get("dataset"), place), language=row.get("language") or None
    )
    before = found.get(location)
    record = before or empty
    if before is not None and (not category or not (before.categories or before.spans)):
        raise BadFile(f"{place}: '{location}' is labeled with nothing in one row and has another row.")
    if category and field == "entities":
        start = number_of(row.get("start"), "the start", place)
        end = number_of(row.get("end"), "the end", place)
        span = Span(start, end, category, row.get("text") or None)
        record = replace(record, spans=(*record.spans, span))
    elif category:
        record = replace(record, categories=(*record.categories, category))
        one_class(record.categories, field, place)
    found[location] = record


def write_jsonl(records: Iterable[Record], out: TextIO, field: Field) -> list[str]:
    for record in records:
        data: dict[str, Any] = {"location": record.location}
        data |= {"dataset": record.dataset, "language": record.language}
        if record.text is not None:
            data["text"] = record.text
        if field == "class":
            data["category"] = record.categories[0] if record.categories else None
        elif field == "classes":
            data["categories"] = list(record.categories)
        else:
            data["entities"] = [
                {"category": s.category, "start": s.start, "end": s.end, "text": s.quote}
                for s in record.spans
            ]
        out.write(json.dumps(data, ensure_ascii=False) + "\n")
    return []


def read_jsonl(file: TextIO, field: Field) -> Iterator[Record]:
    seen: set[str] = set()
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        place = f"Line {number}"
        record = _record(parse_object(line, place), field, place)
        if record.location in seen:
            raise BadFile(f"{place}: '{record.location}' is listed twice.")
        seen.add(record.location or "")
        yield record


def parse_object(text: str, place: str) -> dict[str, Any]:
    """A JSON object. Raises BadFile."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{place}: not JSON ({error}).") from error
    if not isinstance(value, dict):
        raise BadFile(f"{place}: not a JSON object.")
    return cast("dict[str, Any]", value)


def _record(data: dict[str, Any], field: Field, place: str) -> Record:
    name = {"class": "category", "classes": "categories", "entities": "entities"}[field]
    if name not in data:
        raise BadFile(f"{place}: '{name}' is missing; this project needs it.")
    text = data.get("text")
    if text is not None and not isinstance(text, str):
        raise BadFile(f"{place}: 'text' must be a string.")
    value, categories, spans = data[name], tuple[str, ...](), tuple[Span, ...]()
    if field == "class":
        categories = () if value is None else (text_of(value, "'category'", place),)
    elif not isinstance(value, list):
        raise BadFile(f"{place}: '{name}' must be a list.")
    elif field == "classes":
        categories = tuple(text_of(item, "a category", place) for item in cast("list[Any]", value))
    else:
        spans = tuple(span_of(item, place) for item in cast("list[Any]", value))
    location = text_of(data.get("location"), "'location'", place)
    return Record(
        place, location, text, categories, spans, dataset_of(data.get("dataset"), place), data.get("language")
    )


def span_of(value: Any, place: str) -> Span:
    """An entity as an object with `category`, `start`, `end`, and perhaps its `text`. Raises BadFile."""
    if not isinstance(value, dict):
        raise BadFile(f"{place}: an entity must be an object with 'category', 'start' and 'end'.")
    entity = cast("dict[str, Any]", value)
    quote = entity.get("text")
    return Span(
        number_of(entity.get("start"), "'start'", place),
        number_of(entity.get("end"), "'end'", place),
        text_of(entity.get("category"), "'category'", place),
        quote if isinstance(quote, str) else None,
    )
