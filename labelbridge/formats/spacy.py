"""The training data of spaCy as JSON: pairs of text and annotations, for `Example.from_dict`.

    [["I live in Paris.", {"entities": [[10, 15, "City"]]}],
     ["I want a refund.", {"cats": {"Refund": 1.0, "Login": 0.0}}]]

Annotations may have no other keys, so there are no names: documents are found by their text. Equal texts count in
the order of their names. spaCy takes no overlapping entities.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, TextIO, cast

from labelbridge.formats.records import BadFile, Field, Record, Span, number_of, one_class, text_of


def write(records: Iterable[Record], out: TextIO, field: Field) -> list[str]:
    found = list(records)
    warnings: list[str] = []
    names = sorted({name for record in found for name in record.categories})
    lines: list[str] = []
    for record in found:
        if any(b.start < a.end for a, b in pairwise(record.spans)):
            warnings.append(
                f"{record.location}: its entities overlap, which spaCy does not allow; it is left out."
            )
            continue
        if field == "entities":
            annotations: Any = {"entities": [[s.start, s.end, s.category] for s in record.spans]}
        else:
            annotations = {"cats": {name: float(name in record.categories) for name in names}}
        lines.append(json.dumps([record.text, annotations], ensure_ascii=False))
    out.write("[" + ",\n ".join(lines) + "]\n")
    return warnings


def read(file: TextIO, field: Field) -> Iterator[Record]:
    try:
        items = json.load(file)
    except (ValueError, RecursionError) as error:
        raise BadFile(f"The file is not JSON ({error}).") from error
    if not isinstance(items, list):
        raise BadFile("The file must be a JSON list of pairs of text and annotations.")
    for number, item in enumerate(cast("list[Any]", items), 1):
        yield _record(item, field, f"Item {number}")


def _record(item: Any, field: Field, place: str) -> Record:
    pair = cast("list[Any]", item)
    if not (
        isinstance(item, list) and len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], dict)
    ):
        raise BadFile(f"{place}: must be a pair of text and annotations.")
    annotations = cast("dict[str, Any]", pair[1])
    key = "entities" if field == "entities" else "cats"
    value = annotations.get(key)
    if field == "entities":
        if not isinstance(value, list):
            raise BadFile(f"{place}: 'entities' must be a list; this project has entities.")
        return Record(
            place, text=pair[0], spans=tuple(_span(entity, place) for entity in cast("list[Any]", value))
        )
    if not isinstance(value, dict):
        raise BadFile(f"{place}: 'cats' must be an object; this project has classes.")
    cats = cast("dict[str, Any]", value)
    if any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in cats.values()):
        raise BadFile(f"{place}: each value of 'cats' must be a number.")
    chosen = tuple(name for name, value in cats.items() if value >= 0.5)
    one_class(chosen, field, place)
    return Record(place, text=pair[0], categories=chosen)


def _span(item: Any, place: str) -> Span:
    values = cast("list[Any]", item)
    if not (isinstance(item, list) and len(values) >= 3):
        raise BadFile(f"{place}: an entity must be [start, end, category].")
    start, end, category = values[:3]
    return Span(
        number_of(start, "the start", place),
        number_of(end, "the end", place),
        text_of(category, "the category", place),
    )
