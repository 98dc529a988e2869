"""How well a model does on test documents, in the JSON of Azure's evaluation (rule T6).

All three kinds come down to one comparison: of *items*, each with the set of categories expected and the set
predicted. An item is a document, or for entities one span: a prediction is right only with the very span and
category (strict matching, as seqeval counts). scikit-learn computes the figures.

Micro and macro averages are over the categories that occur in the test documents, expected or predicted.
"""

import importlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from shared.domain.labels import EntityLabel, Labels, Region
from shared.domain.names import ProjectKind
from shared.domain.text import Offsets
from shared.domain.training import EvaluatedDocument, Evaluation, SplitKind, SplitOptions

#: Azure's word for "no category"; the other one serves where a project has a category of that name.
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
    """Summary and per-document results. Imports scikit-learn and takes CPU: not for the event loop.

    `categories` are all of the project: each has its figures, zeros where it does not occur. Without
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


def without_outer_spaces(labels: Labels, text: str) -> Labels:
    """The labels with each entity trimmed to what it covers but whitespace; entities of only spaces are left out.

    Engines predict no spaces at the edges, so labels that have some can only be compared trimmed.
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
    nothing = frozenset[str]()
    for span in sorted(expected.keys() | predicted.keys()):
        yield _Item(expected.get(span, nothing), predicted.get(span, nothing))


def _regions(document: EvaluatedDocument) -> tuple[Region, ...]:
    return document.expected.regions or (Region(0, document.length),)


def _inside(document: EvaluatedDocument, region: Region) -> list[EntityLabel]:
    """The predictions that the labels of the region can judge."""
    end = region.offset + region.length
    found = {e for e in document.predicted.entities() if region.offset <= e.offset and e.end <= end}
    return sorted(found, key=lambda e: (e.offset, e.length, e.category))


def _by_span(entities: Iterable[EntityLabel]) -> dict[tuple[int, int], frozenset[str]]:
    spans: dict[tuple[int, int], set[str]] = {}
    for entity in entities:
        spans.setdefault((entity.offset, entity.length), set()).add(entity.category)
    return {span: frozenset(names) for span, names in spans.items()}


def _figures(kind: ProjectKind, categories: Sequence[str], items: Sequence[_Item]) -> dict[str, Any]:
    """The averages, and the figures of each category."""
    occurring = {name for item in items for name in (item.expected | item.predicted)}
    names = [name for name in categories if name in occurring] + sorted(occurring.difference(categories))
    scores = _Scores(names, items) if names else None
    measured = {name: scores.category(kind, index) for index, name in enumerate(names)} if scores else {}
    absent = _category_json(kind, (0.0, 0.0, 0.0), (0, len(items), 0, 0))
    every = dict.fromkeys((*categories, *names))
    return {
        kind.category_list: {name: measured.get(name, absent) for name in every},
        **_average_json("micro", scores),
        **_average_json("macro", scores),
    }


class _Scores:
    """What scikit-learn says of items as two matrices of 0 and 1: rows are items, columns are categories."""

    def __init__(self, names: Sequence[str], items: Sequence[_Item]) -> None:
        numpy: Any = importlib.import_module("numpy")
        self._metrics: Any = importlib.import_module("sklearn.metrics")
        columns = {name: index for index, name in enumerate(names)}
        # One column more than needed: scikit-learn takes a single column for a list of two classes.
        shape = (len(items), len(names) + 1)
        self._matrices = numpy.zeros(shape, numpy.int8), numpy.zeros(shape, numpy.int8)
        for row, item in enumerate(items):
            for matrix, found in zip(self._matrices, (item.expected, item.predicted), strict=True):
                matrix[row, [columns[name] for name in found]] = 1
        self._labels = list(range(len(names)))
        self._each = self._measure(None)
        self._counts = self._metrics.multilabel_confusion_matrix(*self._matrices, labels=self._labels)

    def average(self, how: str) -> tuple[float, float, float]:
        """Precision, recall, F1; `how` is micro or macro."""
        precision, recall, f1, _ = self._measure(how)
        return float(precision), float(recall), float(f1)

    def category(self, kind: ProjectKind, index: int) -> dict[str, Any]:
        """The figures of one category."""
        precision, recall, f1, _ = (float(values[index]) for values in self._each)
        (tn, fp), (fn, tp) = ((int(count) for count in row) for row in self._counts[index])
        return _category_json(kind, (precision, recall, f1), (tp, tn, fp, fn))

    def _measure(self, average: str | None) -> Any:
        return self._metrics.precision_recall_fscore_support(
            *self._matrices, labels=self._labels, average=average, zero_division=0
        )


def _category_json(
    kind: ProjectKind, scores: tuple[float, float, float], counts: tuple[int, int, int, int]
) -> dict[str, Any]:
    """`scores` are precision, recall, F1; `counts` true and false positives and negatives: TP, TN, FP, FN.

    Of spans there are no true negatives: nobody counts the stretches of text that are rightly no entity.
    """
    return {
        "f1": scores[2],
        "precision": scores[0],
        "recall": scores[1],
        "truePositiveCount": counts[0],
        "trueNegativeCount": 0 if kind is ProjectKind.ENTITIES else counts[1],
        "falsePositiveCount": counts[2],
        "falseNegativeCount": counts[3],
    }


def _average_json(how: str, scores: _Scores | None) -> dict[str, float]:
    precision, recall, f1 = scores.average(how) if scores else (0.0, 0.0, 0.0)
    return {f"{how}F1": f1, f"{how}Precision": precision, f"{how}Recall": recall}


def _confusion_matrix(
    categories: Sequence[str], items: Sequence[_Item], none: str
) -> dict[str, dict[str, dict[str, float]]]:
    """Rows are what was expected, columns what was predicted; `normalizedValue` is the percentage of the row.

    A row and column for "no category" is there when something falls into it.
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
    """What was taken for what: right ones for themselves, missed for wrong ones, the rest for nothing."""
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
