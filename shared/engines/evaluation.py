"""The evaluation of a model on test documents, in Azure's JSON (rule T6).

All three kinds use the same comparison of *items*, each with the set of expected categories and the set of predicted
ones. An item is a document or, for entities, a span: a prediction is right only if both the span and the category
match exactly (strict matching, as in seqeval). Tests compare the figures with scikit-learn's; the app does not need
its 48 MB.

Micro and macro averages are over the categories that occur in the test documents, expected or predicted.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from shared.domain.labels import EntityLabel, Labels, Region
from shared.domain.names import ProjectKind
from shared.domain.text import Offsets
from shared.domain.training import EvaluatedDocument, Evaluation, SplitKind, SplitOptions

#: Azure's word for "no category"; the other is used if a project has a category of that name.
NONE: Final = "None"
OTHER_NONE: Final = "$none"


@dataclass(frozen=True, slots=True)
class _Item:
    expected: frozenset[str]
    predicted: frozenset[str]


def evaluate(
    kind: ProjectKind,
    categories: Sequence[str],
    documents: Sequence[EvaluatedDocument],
    options: SplitOptions,
) -> Evaluation:
    """Summary and per-document results. CPU bound: do not call it in the event loop.

    `categories` are all of the project's. Each has figures, zeros if it does not occur. Without
    documents every figure is 0.
    """
    none = OTHER_NONE if NONE in categories else NONE
    items = [item for document in documents for item in _items(kind, document)]
    figures = _figures(kind, categories, items)
    if kind is not ProjectKind.MULTI_LABEL:
        figures = {"confusionMatrix": _confusion_matrix(categories, items, none), **figures}
    summary = {
        "projectKind": kind.value,
        "evaluationOptions": _options_json(options),
        f"{_field(kind)}Evaluation": figures,
    }
    return Evaluation(summary, [_result(kind, document, none) for document in documents])


def locations_in(
    summary: Mapping[str, Any],
    results: Iterable[Mapping[str, Any]],
    expected: str | None,
    predicted: str | None,
) -> list[str]:
    """Names of the test documents that an evaluation counts in a cell of its confusion matrix; None: in any.

    `summary` and `results` are as `evaluate` made them.
    """
    [figures] = [value for name, value in summary.items() if name.endswith("Evaluation")]
    categories: Mapping[str, Any] = figures.get("classes") or figures.get("entities") or {}
    none = OTHER_NONE if NONE in categories else NONE
    return [
        result["location"]
        for result in results
        if any(
            expected in {None, row} and predicted in {None, column}
            for item in _items_of(result, none)
            for row, column in _pairs(item, none)
        )
    ]


def _items_of(result: Mapping[str, Any], none: str) -> Iterable[_Item]:
    """The items of a document, from its result."""
    [found] = [value for name, value in result.items() if name.endswith("Result")]
    if "entities" not in found:
        expected, predicted = (
            [found[f"{side}Class"]] if f"{side}Class" in found else found[f"{side}Classes"]
            for side in ("expected", "predicted")
        )
        yield _Item(frozenset(expected) - {none}, frozenset(predicted) - {none})
        return
    sides = [
        _by_span(
            EntityLabel(e["category"], e["offset"], e["length"])
            for region in found["entities"]
            for e in region[side]
        )
        for side in ("expectedEntities", "predictedEntities")
    ]
    yield from _compared(*sides)


def without_outer_spaces(labels: Labels, text: str) -> Labels:
    """The labels with whitespace at the edges of entities removed; entities of only whitespace are left out.

    Engines predict no whitespace at the edges, so labels that have some must be trimmed before the comparison.
    """
    offsets = Offsets(text)
    return replace(labels, regions=tuple(_trim_region(region, text, offsets) for region in labels.regions))


def _trim_region(region: Region, text: str, offsets: Offsets) -> Region:
    trimmed = (_trim(entity, text, offsets) for entity in region.labels)
    return replace(region, labels=tuple(entity for entity in trimmed if entity is not None))


def _trim(entity: EntityLabel, text: str, offsets: Offsets) -> EntityLabel | None:
    span = offsets.span_to_code_points(entity.offset, entity.length)
    if span is None:
        return entity  # not a place in this text: nothing to trim, and never predicted
    covered = text[span[0] : span[0] + span[1]]
    if not covered.strip():
        return None
    before, after = len(covered) - len(covered.lstrip()), len(covered) - len(covered.rstrip())
    # A blank is one UTF-16 code unit.
    return replace(entity, offset=entity.offset + before, length=entity.length - before - after)


def _field(kind: ProjectKind) -> str:
    return kind.value[0].lower() + kind.value[1:]


def _options_json(options: SplitOptions) -> dict[str, Any]:
    if options.kind is SplitKind.MANUAL:
        return {"kind": "manual"}
    return {
        "kind": "percentage",
        "trainingSplitPercentage": 100 - options.testing,
        "testingSplitPercentage": options.testing,
    }


def _items(kind: ProjectKind, document: EvaluatedDocument) -> Iterable[_Item]:
    if kind is not ProjectKind.ENTITIES:
        yield _Item(frozenset(document.expected.categories), frozenset(document.predicted.categories))
        return
    expected = _by_span(e for region in _regions(document) for e in region.labels)
    predicted = _by_span(e for region in _regions(document) for e in _inside(document, region))
    yield from _compared(expected, predicted)


type _Spans = dict[tuple[int, int], frozenset[str]]


def _compared(expected: _Spans, predicted: _Spans) -> Iterable[_Item]:
    nothing = frozenset[str]()
    for span in sorted(expected.keys() | predicted.keys()):
        yield _Item(expected.get(span, nothing), predicted.get(span, nothing))


def _regions(document: EvaluatedDocument) -> tuple[Region, ...]:
    return document.expected.regions or (Region(0, document.length),)


def _inside(document: EvaluatedDocument, region: Region) -> list[EntityLabel]:
    """The predictions that can be compared with the labels of the region."""
    end = region.offset + region.length
    found = {e for e in document.predicted.entities() if region.offset <= e.offset and e.end <= end}
    return sorted(found, key=lambda e: (e.offset, e.length, e.category))


def _by_span(entities: Iterable[EntityLabel]) -> _Spans:
    spans: dict[tuple[int, int], set[str]] = {}
    for entity in entities:
        spans.setdefault((entity.offset, entity.length), set()).add(entity.category)
    return {span: frozenset(names) for span, names in spans.items()}


def _figures(kind: ProjectKind, categories: Sequence[str], items: Sequence[_Item]) -> dict[str, Any]:
    """The averages, and the figures of each category."""
    occurring = {name for item in items for name in (item.expected | item.predicted)}
    names = [name for name in categories if name in occurring] + sorted(occurring.difference(categories))
    counts = _counts(items)
    scores = [counts[name].scores() for name in names]
    micro = sum((counts[name] for name in names), _Counts(0, 0, 0)).scores()
    macro = [sum(column) / len(names) for column in zip(*scores, strict=True)] or [0.0, 0.0, 0.0]
    return {
        kind.category_list: {
            name: _category_json(kind, counts[name], len(items))
            for name in dict.fromkeys((*categories, *names))
        },
        **_average_json("micro", micro),
        **_average_json("macro", macro),
    }


@dataclass(frozen=True, slots=True)
class _Counts:
    """True positives, false positives and false negatives."""

    tp: int
    fp: int
    fn: int

    def __add__(self, other: "_Counts") -> "_Counts":
        return _Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    def scores(self) -> tuple[float, float, float]:
        """Precision, recall, F1; 0 if there is nothing to divide by."""
        tp, fp, fn = self.tp, self.fp, self.fn
        return _ratio(tp, tp + fp), _ratio(tp, tp + fn), _ratio(2 * tp, 2 * tp + fp + fn)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _counts(items: Sequence[_Item]) -> defaultdict[str, _Counts]:
    """By category; zeros for one that does not occur."""
    right = Counter(name for item in items for name in item.expected & item.predicted)
    wrong = Counter(name for item in items for name in item.predicted - item.expected)
    missed = Counter(name for item in items for name in item.expected - item.predicted)
    names = {*right, *wrong, *missed}
    found = {name: _Counts(right[name], wrong[name], missed[name]) for name in names}
    return defaultdict(lambda: _Counts(0, 0, 0), found)


def _category_json(kind: ProjectKind, counts: _Counts, items: int) -> dict[str, Any]:
    """Spans have no true negatives: passages that are rightly not an entity are not counted."""
    precision, recall, f1 = counts.scores()
    negatives = items - counts.tp - counts.fp - counts.fn
    return {
        "f1": f1,
        "precision": precision,
        "recall": recall,
        "truePositiveCount": counts.tp,
        "trueNegativeCount": 0 if kind is ProjectKind.ENTITIES else negatives,
        "falsePositiveCount": counts.fp,
        "falseNegativeCount": counts.fn,
    }


def _average_json(how: str, scores: Sequence[float]) -> dict[str, float]:
    precision, recall, f1 = scores
    return {f"{how}F1": f1, f"{how}Precision": precision, f"{how}Recall": recall}


def _confusion_matrix(
    categories: Sequence[str], items: Sequence[_Item], none: str
) -> dict[str, dict[str, dict[str, float]]]:
    """Rows are what was expected, columns what was predicted; `normalizedValue` is the percentage of the row.

    There is a row and a column for "no category" if anything falls into them.
    """
    cells = Counter(pair for item in items for pair in _pairs(item, none))
    names = list(dict.fromkeys((*categories, *sorted({name for pair in cells for name in pair} - {none}))))
    if any(none in pair for pair in cells):
        names.append(none)
    matrix: dict[str, dict[str, dict[str, float]]] = {}
    for row in names:
        total = sum(cells[row, column] for column in names)
        matrix[row] = {
            column: {
                "normalizedValue": 100 * cells[row, column] / total if total else 0.0,
                "rawValue": float(cells[row, column]),
            }
            for column in names
        }
    return matrix


def _pairs(item: _Item, none: str) -> Iterable[tuple[str, str]]:
    """Pairs of expected and predicted: correct ones, then missed ones with wrong ones; the rest is paired with
    `none`.
    """
    for name in item.expected & item.predicted:
        yield name, name
    missed, wrong = sorted(item.expected - item.predicted), sorted(item.predicted - item.expected)
    for index in range(max(len(missed), len(wrong))):
        yield missed[index] if index < len(missed) else none, wrong[index] if index < len(wrong) else none


def _result(kind: ProjectKind, document: EvaluatedDocument, none: str) -> dict[str, Any]:
    return {
        "projectKind": kind.value,
        "location": document.location,
        "language": document.language,
        f"{_field(kind)}Result": _comparison(kind, document, none),
    }


def _comparison(kind: ProjectKind, document: EvaluatedDocument, none: str) -> dict[str, Any]:
    expected, predicted = document.expected.categories, document.predicted.categories
    if kind is ProjectKind.SINGLE_LABEL:
        return {
            "expectedClass": expected[0] if expected else none,
            "predictedClass": predicted[0] if predicted else none,
        }
    if kind is ProjectKind.MULTI_LABEL:
        return {"expectedClasses": list(expected), "predictedClasses": list(predicted)}
    return {
        "entities": [
            {
                "expectedEntities": [_entity(e) for e in region.labels],
                "predictedEntities": [_entity(e) for e in _inside(document, region)],
                "regionOffset": region.offset,
                "regionLength": region.length,
            }
            for region in _regions(document)
        ]
    }


def _entity(entity: EntityLabel) -> dict[str, Any]:
    return {"category": entity.category, "offset": entity.offset, "length": entity.length}
