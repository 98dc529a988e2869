"""Tasks of Label Studio in the JSON format of its export and import.

Entities are regions of type `labels`, classes are `choices`. Its offsets count characters; exports of versions before
2022 counted UTF-16 code units, which the text of each region tells apart. The name of the document is
`data.location`; without it, the document is found by `data.text`.
"""

import json
from collections.abc import Iterable, Iterator
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


def write(records: Iterable[Record], out: TextIO, field: Field) -> list[str]:
    tasks: list[str] = []
    for record in records:
        data = {"text": record.text, "location": record.location, "dataset": record.dataset}
        data["language"] = record.language
        result = _regions(record) if field == "entities" else _choices(record)
        task = {"data": data, "annotations": [{"result": result}]}
        tasks.append(json.dumps(task, ensure_ascii=False))
    out.write("[" + ",\n ".join(tasks) + "]\n")
    return []


def _regions(record: Record) -> list[dict[str, Any]]:
    return [
        {
            "id": f"r{number}", "from_name": "label", "to_name": "text", "type": "labels",
            "value": {"start": s.start, "end": s.end, "text": s.quote, "labels": [s.category]},
        }
        for number, s in enumerate(record.spans)
    ]  # fmt: skip


def _choices(record: Record) -> list[dict[str, Any]]:
    if not record.categories:
        return []
    value = {"choices": list(record.categories)}
    return [{"id": "c", "from_name": "category", "to_name": "text", "type": "choices", "value": value}]


def read(file: TextIO, field: Field) -> Iterator[Record]:
    try:
        tasks = json.load(file)
    except (ValueError, RecursionError) as error:
        raise BadFile(f"The file is not JSON ({error}).") from error
    if not isinstance(tasks, list):
        raise BadFile("The file must be a JSON list of tasks.")
    for number, task in enumerate(cast("list[Any]", tasks), 1):
        record = _record(task, field, f"Task {number}")
        if record is not None:
            yield record


def _record(task: Any, field: Field, place: str) -> Record | None:
    """None for a task that nobody annotated."""
    known = cast("dict[str, Any]", task) if isinstance(task, dict) else {}
    if not isinstance(known.get("data"), dict):
        raise BadFile(f"{place}: must be an object with 'data' and 'annotations'.")
    data = cast("dict[str, Any]", known["data"])
    annotations = _list(known.get("annotations"), "'annotations'", place)
    if not all(isinstance(annotation, dict) for annotation in annotations):
        raise BadFile(f"{place}: each annotation must be an object.")
    done = [annotation for annotation in annotations if not annotation.get("was_cancelled")]
    if not done:
        return None
    if len(done) > 1:
        raise BadFile(f"{place}: has {len(done)} annotations; keep only one.")
    result = _list(done[0].get("result"), "'result'", place)
    location = data.get("location")
    text = text_of(data.get("text"), "'data.text'", place)
    return Record(
        place, text_of(location, "'data.location'", place) if location is not None else None, text,
        dataset=dataset_of(data.get("dataset"), place),
        categories=() if field == "entities" else _categories(result, field, place),
        spans=_spans(result, place) if field == "entities" else (),
    )  # fmt: skip


def _list(value: Any, what: str, place: str) -> list[Any]:
    """A list; none is an empty one. Raises BadFile."""
    if value is not None and not isinstance(value, list):
        raise BadFile(f"{place}: {what} must be a list.")
    return cast("list[Any]", value or [])


def _values(result: list[Any], kind: str, place: str) -> Iterator[dict[str, Any]]:
    for region in result:
        known = cast("dict[str, Any]", region) if isinstance(region, dict) else {}
        if not isinstance(known.get("value"), dict):
            raise BadFile(f"{place}: each result must have a 'value'.")
        if known.get("type") == kind:
            yield known["value"]


def _categories(result: list[Any], field: Field, place: str) -> tuple[str, ...]:
    names = [
        text_of(n, "a choice", place)
        for v in _values(result, "choices", place)
        for n in _list(v.get("choices"), "'choices'", place)
    ]
    found = tuple(dict.fromkeys(names))
    one_class(found, field, place)
    return found


def _spans(result: list[Any], place: str) -> tuple[Span, ...]:
    return tuple(
        Span(
            number_of(value.get("start"), "'start'", place),
            number_of(value.get("end"), "'end'", place),
            text_of(name, "a label", place),
            value.get("text") if isinstance(value.get("text"), str) else None,
        )
        for value in _values(result, "labels", place)
        for name in _list(value.get("labels"), "'labels'", place)
    )
