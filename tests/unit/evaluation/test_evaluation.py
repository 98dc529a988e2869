"""Evaluation: cases worked by hand, checked against scikit-learn and seqeval, read by Azure's own client."""

import json
from itertools import pairwise
from typing import Any

import pytest
from azure.ai.textanalytics.authoring import models
from azure.ai.textanalytics.authoring._utils.model_base import _deserialize
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from seqeval.metrics.v1 import precision_recall_fscore_support
from seqeval.scheme import IOB2
from sklearn import metrics
from sklearn.metrics import accuracy_score, f1_score

from shared.domain.labels import EntityLabel, Labels, Region
from shared.domain.names import ProjectKind
from shared.domain.training import EvaluatedDocument, Evaluation, SplitKind, SplitOptions
from shared.engines.evaluation import evaluate, locations_in
from shared.wire.training import DocumentEvaluationList, EvaluationSummaryModel

SINGLE, MULTI, ENTITIES = ProjectKind.SINGLE_LABEL, ProjectKind.MULTI_LABEL, ProjectKind.ENTITIES
OPTIONS = SplitOptions()
LENGTH = 40
#: Strict matching; the type hints of seqeval are narrower than its code.
SEQEVAL: Any = precision_recall_fscore_support


def classes(*pairs: tuple[str, str]) -> list[EvaluatedDocument]:
    """Documents by their expected and predicted classes, each a string of one-letter names."""
    return [
        EvaluatedDocument(f"{i}.txt", "en", LENGTH, Labels(tuple(expected)), Labels(tuple(predicted)))
        for i, (expected, predicted) in enumerate(pairs)
    ]


def entities(*spans: tuple[str, int, int]) -> tuple[EntityLabel, ...]:
    return tuple(EntityLabel(*span) for span in spans)


def spans(expected: tuple[EntityLabel, ...], predicted: tuple[EntityLabel, ...]) -> EvaluatedDocument:
    whole = Labels(regions=(Region(0, LENGTH, expected),))
    return EvaluatedDocument("a.txt", "en", LENGTH, whole, Labels(regions=(Region(0, LENGTH, predicted),)))


def figures(evaluation: Evaluation) -> dict[str, Any]:
    (name,) = (key for key in evaluation.summary if key.endswith("Evaluation"))
    return evaluation.summary[name]


def averages(evaluation: Evaluation) -> list[float]:
    found = figures(evaluation)
    return [found[f"{a}{m}"] for a in ("micro", "macro") for m in ("Precision", "Recall", "F1")]


def counts(figures: dict[str, Any]) -> tuple[int, int, int, int]:
    return tuple(
        figures[f"{c}Count"] for c in ("truePositive", "trueNegative", "falsePositive", "falseNegative")
    )


def raw(evaluation: Evaluation) -> dict[str, dict[str, float]]:
    matrix = figures(evaluation)["confusionMatrix"]
    return {
        row: {column: cell["rawValue"] for column, cell in cells.items() if cell["rawValue"]}
        for row, cells in matrix.items()
    }


def test_single_label_by_hand() -> None:
    """A: 2 right, 1 taken for B. B: 1 right. C: taken for A. A has precision and recall 2/3, B 1/2 and 1."""
    found = evaluate(SINGLE, ["A", "B", "C", "D"], classes(*zip("AAABC", "AABBA", strict=True)), OPTIONS)
    by_class = figures(found)["classes"]
    assert {name: counts(scored) for name, scored in by_class.items()} == {
        "A": (2, 1, 1, 1),
        "B": (1, 3, 1, 0),
        "C": (0, 4, 0, 1),
        "D": (0, 5, 0, 0),
    }
    assert by_class["A"]["f1"] == pytest.approx(2 / 3)
    assert (by_class["B"]["precision"], by_class["B"]["recall"]) == (0.5, 1.0)
    assert by_class["B"]["f1"] == pytest.approx(2 / 3)
    assert (by_class["C"]["precision"], by_class["C"]["recall"], by_class["C"]["f1"]) == (0.0, 0.0, 0.0)
    macro = [(2 / 3 + 1 / 2 + 0) / 3, (2 / 3 + 1 + 0) / 3, (2 / 3 + 2 / 3 + 0) / 3]
    assert averages(found) == pytest.approx([3 / 5, 3 / 5, 3 / 5, *macro])
    assert raw(found) == {"A": {"A": 2.0, "B": 1.0}, "B": {"B": 1.0}, "C": {"A": 1.0}, "D": {}}
    row = figures(found)["confusionMatrix"]["A"]
    assert [row[name]["normalizedValue"] for name in "ABCD"] == pytest.approx([200 / 3, 100 / 3, 0, 0])


def test_single_label_without_a_prediction_or_a_label() -> None:
    """Below the threshold nothing is predicted; Azure calls that "None"."""
    found = evaluate(SINGLE, ["A", "B"], classes(("A", ""), ("A", "A"), ("", "B")), OPTIONS)
    assert counts(figures(found)["classes"]["A"]) == (1, 1, 0, 1)
    assert averages(found) == pytest.approx([1 / 2, 1 / 2, 1 / 2, 1 / 2, 1 / 4, 1 / 3])
    assert raw(found) == {"A": {"A": 1.0, "None": 1.0}, "B": {}, "None": {"B": 1.0}}
    assert found.results[0]["customSingleLabelClassificationResult"] == {
        "expectedClass": "A",
        "predictedClass": "None",
    }


def test_a_category_that_is_named_none_stays_itself() -> None:
    documents = [
        EvaluatedDocument("a", "en", 1, Labels(("None",)), Labels()),
        EvaluatedDocument("b", "en", 1, Labels(("None",)), Labels(("None",))),
    ]
    assert raw(evaluate(SINGLE, ["None"], documents, OPTIONS)) == {
        "None": {"None": 1.0, "$none": 1.0},
        "$none": {},
    }


def test_multi_label_by_hand() -> None:
    """A: right, right, missed. B: right, wrong. C: never."""
    found = evaluate(MULTI, ["A", "B", "C"], classes(("AB", "BA"), ("A", "AB"), ("A", ""), ("", "")), OPTIONS)
    assert {name: counts(scored) for name, scored in figures(found)["classes"].items()} == {
        "A": (2, 1, 0, 1),
        "B": (1, 2, 1, 0),
        "C": (0, 4, 0, 0),
    }
    macro = [(1 + 1 / 2) / 2, (2 / 3 + 1) / 2, (4 / 5 + 2 / 3) / 2]
    assert averages(found) == pytest.approx([3 / 4, 3 / 4, 3 / 4, *macro])
    assert "confusionMatrix" not in figures(found)
    assert found.results[1] == {
        "projectKind": "CustomMultiLabelClassification",
        "location": "1.txt",
        "language": "en",
        "customMultiLabelClassificationResult": {"expectedClasses": ["A"], "predictedClasses": ["A", "B"]},
    }


def test_entities_by_hand() -> None:
    """One right, one with the wrong category, one with a wrong end (missed and wrong), one out of nowhere."""
    expected = entities(("A", 0, 5), ("A", 10, 3), ("B", 20, 4))
    predicted = entities(("A", 0, 5), ("B", 10, 3), ("B", 20, 5), ("A", 30, 2))
    found = evaluate(ENTITIES, ["A", "B"], [spans(expected, predicted)], OPTIONS)
    assert {name: counts(scored) for name, scored in figures(found)["entities"].items()} == {
        "A": (1, 0, 1, 1),
        "B": (0, 0, 2, 1),
    }
    assert averages(found) == pytest.approx([1 / 4, 1 / 3, 2 / 7, 1 / 4, 1 / 4, 1 / 4])
    assert raw(found) == {
        "A": {"A": 1.0, "B": 1.0},
        "B": {"None": 1.0},
        "None": {"A": 1.0, "B": 1.0},
    }
    (region,) = found.results[0]["customEntityRecognitionResult"]["entities"]
    assert (region["regionOffset"], region["regionLength"]) == (0, LENGTH)
    assert region["expectedEntities"][0] == {"category": "A", "offset": 0, "length": 5}
    assert len(region["predictedEntities"]) == 4


def test_the_same_span_in_two_documents_is_two_spans() -> None:
    first = spans(entities(("A", 0, 5)), entities(("A", 0, 5)))
    second = spans(entities(("A", 0, 5)), ())
    assert counts(figures(evaluate(ENTITIES, ["A"], [first, second], OPTIONS))["entities"]["A"]) == (
        1,
        0,
        0,
        1,
    )


def test_only_what_lies_in_a_labeled_region_is_judged() -> None:
    """Outside of its regions nobody said anything of the document, so a prediction there is not wrong."""
    expected = Labels(regions=(Region(0, 10, entities(("A", 2, 3))), Region(20, 10)))
    predicted = Labels(
        regions=(Region(0, LENGTH, entities(("A", 2, 3), ("A", 9, 2), ("A", 12, 3), ("A", 25, 5))),)
    )
    found = evaluate(ENTITIES, ["A"], [EvaluatedDocument("a", "en", LENGTH, expected, predicted)], OPTIONS)
    assert counts(figures(found)["entities"]["A"]) == (1, 0, 1, 0)
    regions = found.results[0]["customEntityRecognitionResult"]["entities"]
    assert [len(region["predictedEntities"]) for region in regions] == [1, 1]


def test_a_document_labeled_with_nothing_is_one_region() -> None:
    document = EvaluatedDocument(
        "a", "en", LENGTH, Labels(), Labels(regions=(Region(0, 9, entities(("A", 1, 2))),))
    )
    found = evaluate(ENTITIES, ["A"], [document], OPTIONS)
    assert counts(figures(found)["entities"]["A"]) == (0, 0, 1, 0)
    assert found.results[0]["customEntityRecognitionResult"]["entities"][0]["regionLength"] == LENGTH


@pytest.mark.parametrize("kind", list(ProjectKind))
def test_without_documents_every_figure_is_zero(kind: ProjectKind) -> None:
    found = evaluate(kind, ["A"], [], OPTIONS)
    assert averages(found) == [0.0] * 6
    assert counts(figures(found)[kind.category_list]["A"]) == (0, 0, 0, 0)
    assert found.results == []


@pytest.mark.parametrize("kind", [SINGLE, MULTI])
def test_one_category_alone(kind: ProjectKind) -> None:
    found = evaluate(kind, ["A"], classes(("A", "A"), ("A", "A"), ("A", ""), ("A", "A")), OPTIONS)
    assert averages(found) == pytest.approx([1.0, 0.75, 6 / 7] * 2)
    assert counts(figures(found)["classes"]["A"]) == (3, 0, 0, 1)


def test_the_options_are_reported() -> None:
    assert evaluate(SINGLE, [], [], SplitOptions(testing=30)).summary["evaluationOptions"] == {
        "kind": "percentage",
        "trainingSplitPercentage": 70,
        "testingSplitPercentage": 30,
    }
    manual = evaluate(SINGLE, [], [], SplitOptions(SplitKind.MANUAL)).summary["evaluationOptions"]
    assert manual == {"kind": "manual"}


@given(st.lists(st.tuples(st.sampled_from("ABCD"), st.sampled_from("ABCD")), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_single_label_agrees_with_scikit_learn_on_plain_lists(pairs: list[tuple[str, str]]) -> None:
    found = figures(evaluate(SINGLE, list("ABCD"), classes(*pairs), OPTIONS))
    expected, predicted = zip(*pairs, strict=True)
    assert found["microF1"] == pytest.approx(accuracy_score(expected, predicted))
    assert found["macroF1"] == pytest.approx(f1_score(expected, predicted, average="macro", zero_division=0))  # pyright: ignore[reportArgumentType]  # the stub allows the word only


#: The type hints of scikit-learn are narrower than its code.
SKLEARN: Any = metrics


@given(st.lists(st.tuples(st.sets(st.sampled_from("ABCD")), st.sets(st.sampled_from("ABCDE"))), max_size=30))
@settings(max_examples=60, deadline=None)
def test_multi_label_agrees_with_scikit_learn_category_by_category(
    pairs: list[tuple[set[str], set[str]]],
) -> None:
    named = [("".join(sorted(expected)), "".join(sorted(predicted))) for expected, predicted in pairs]
    found = evaluate(MULTI, list("ABCD"), classes(*named), OPTIONS)
    names = [name for name in "ABCDE" if any(name in e + p for e, p in named)]
    assume(names)
    # One column more than needed: scikit-learn takes a single column for a list of two classes.
    truth, guess = (
        [[int(name in pair[side]) for name in names] + [0] for pair in named] for side in range(2)
    )
    columns = list(range(len(names)))

    def scores(average: str | None) -> Any:
        return SKLEARN.precision_recall_fscore_support(
            truth, guess, labels=columns, average=average, zero_division=0
        )[:3]

    assert averages(found) == pytest.approx([*scores("micro"), *scores("macro")])
    matrices = SKLEARN.multilabel_confusion_matrix(truth, guess, labels=columns).tolist()
    for name, matrix, *expected in zip(names, matrices, *scores(None), strict=True):
        scored = figures(found)["classes"][name]
        (tn, fp), (fn, tp) = matrix
        assert counts(scored) == (tp, tn, fp, fn)
        assert [scored["precision"], scored["recall"], scored["f1"]] == pytest.approx(expected)


def tags(found: tuple[EntityLabel, ...]) -> list[str]:
    """One BIO tag a character."""
    made = ["O"] * LENGTH
    for entity in found:
        made[entity.offset : entity.end] = [f"B-{entity.category}"] + [f"I-{entity.category}"] * (
            entity.length - 1
        )
    return made


@st.composite
def apart(draw: st.DrawFn) -> tuple[EntityLabel, ...]:
    """Entities that do not overlap, for tags cannot say that they do."""
    ends = sorted(draw(st.sets(st.integers(0, LENGTH), max_size=8)))
    pieces = pairwise(ends)
    return tuple(
        EntityLabel(draw(st.sampled_from("ABC")), start, end - start)
        for start, end in pieces
        if draw(st.booleans())
    )


@given(st.lists(st.tuples(apart(), apart()), min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_entities_agree_with_seqeval(
    pairs: list[tuple[tuple[EntityLabel, ...], tuple[EntityLabel, ...]]],
) -> None:
    assume(any(e or p for e, p in pairs))  # seqeval has no mean of nothing
    expected, predicted = [tags(e) for e, _ in pairs], [tags(p) for _, p in pairs]
    theirs: list[float] = []
    for average in ("micro", "macro"):
        found: Any = SEQEVAL(expected, predicted, average=average, scheme=IOB2, zero_division=0)
        theirs += [float(score) for score in found[:3]]
    ours = averages(evaluate(ENTITIES, list("ABC"), [spans(e, p) for e, p in pairs], OPTIONS))
    assert ours == pytest.approx(theirs)


CASES = {
    SINGLE: classes(("A", "B"), ("B", "")),
    MULTI: classes(("AB", "B")),
    ENTITIES: [spans(entities(("A", 0, 1)), entities(("B", 0, 1)))],
}


@pytest.mark.parametrize("kind", list(ProjectKind))
def test_the_official_client_reads_the_summary_and_the_results(kind: ProjectKind) -> None:
    found = evaluate(kind, ["A", "B"], CASES[kind], OPTIONS)
    wire = json.loads(json.dumps({"summary": found.summary, "results": found.results}))
    summary = _deserialize(models.EvalSummary, wire["summary"])
    results = _deserialize(list[models.DocumentEvalResult], wire["results"])
    assert type(summary).__name__ == f"{kind}EvalSummary"
    assert {type(result).__name__ for result in results} == {f"{kind}DocumentEvalResult"}
    assert summary.evaluation_options.training_split_percentage == 80
    assert results[0].language == "en"
    assert_complete(summary)
    for result in results:
        assert_complete(result)


@pytest.mark.parametrize("kind", list(ProjectKind))
def test_openapi_describes_the_summary_and_the_results(kind: ProjectKind) -> None:
    """Through the models that OpenAPI is made from nothing is lost."""
    found = evaluate(kind, ["A", "B"], CASES[kind], OPTIONS)
    assert EvaluationSummaryModel.model_validate(found.summary, by_name=False).to_wire() == found.summary
    listed = {"value": found.results}
    assert DocumentEvaluationList.model_validate(listed, by_name=False).to_wire() == listed


def assert_complete(model: Any) -> None:
    """Every field of a client model has a value, at any depth: all our names are those the client knows."""
    for name in model._attr_to_rest_field:
        value = getattr(model, name)
        assert value is not None, f"{type(model).__name__}.{name}"
        found = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
        for item in found:
            if hasattr(item, "_attr_to_rest_field"):
                assert_complete(item)


CELLS = [
    (SINGLE, [("A", "A"), ("A", "B"), ("B", ""), ("", "A")],
     {("A", "A"): ["0.txt"], ("A", "B"): ["1.txt"], ("B", "None"): ["2.txt"], ("None", "A"): ["3.txt"],
      ("A", None): ["0.txt", "1.txt"], (None, "A"): ["0.txt", "3.txt"], ("B", "A"): []}),
    (MULTI, [("AB", "AC"), ("A", "")],
     {("A", "A"): ["0.txt"], ("B", "C"): ["0.txt"], ("A", "None"): ["1.txt"], ("C", "C"): []}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "pairs", "cells"), CELLS)
def test_the_documents_of_every_cell_are_found_again(
    kind: ProjectKind, pairs: list[tuple[str, str]], cells: dict[tuple[str | None, str | None], list[str]]
):
    found = evaluate(kind, ["A", "B", "C"], classes(*pairs), OPTIONS)
    for (row, column), names in cells.items():
        assert locations_in(found.summary, found.results, row, column) == names, (row, column)
    if kind is SINGLE:
        assert filled(found) == {cell for cell, names in cells.items() if names and None not in cell}


def test_the_documents_of_a_cell_of_entities_and_of_a_category_named_none():
    expected, predicted = entities(("A", 0, 2), ("None", 5, 2)), entities(("B", 0, 2), ("A", 9, 2))
    found = evaluate(ENTITIES, ["A", "B", "None"], [spans(expected, predicted)], OPTIONS)
    assert filled(found) == {("A", "B"), ("None", "$none"), ("$none", "A")}
    for cell in filled(found):
        assert locations_in(found.summary, found.results, *cell) == ["a.txt"]
    assert locations_in(found.summary, found.results, "A", "A") == []
    assert locations_in(found.summary, found.results, "A", "None") == []


def filled(evaluation: Evaluation) -> set[tuple[str, str]]:
    """The cells of the confusion matrix that count something."""
    matrix = figures(evaluation)["confusionMatrix"]
    return {
        (row, column) for row, line in matrix.items() for column, cell in line.items() if cell["rawValue"]
    }
