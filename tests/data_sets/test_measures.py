"""The measures by hand, so that a floor means what it says."""

import math

import pytest

from bench.engines import calibration_error, confident, judge, score
from shared.domain.labels import Example, Prediction, Span
from shared.domain.names import ProjectKind


def test_accuracy_looks_at_the_best_prediction_only():
    test = [Example("x", categories=("a",)), Example("y", categories=("b",))]
    found = [[Prediction("a", 0.9), Prediction("b", 0.1)], [Prediction("a", 0.6), Prediction("b", 0.4)]]
    items = list(judge(ProjectKind.SINGLE_LABEL, test, found))
    assert items == [(0.9, True), (0.6, False)]
    assert score(ProjectKind.SINGLE_LABEL, test, items) == 0.5


def test_micro_f1_counts_what_was_missed():
    test = [Example("x", categories=("a", "b")), Example("y")]
    items = list(judge(ProjectKind.MULTI_LABEL, test, [[Prediction("a", 0.9)], [Prediction("c", 0.5)]]))
    assert score(ProjectKind.MULTI_LABEL, test, items) == 2 * 1 / (2 + 2)


def test_a_span_is_right_only_as_a_whole():
    test = [Example("New York", spans=(Span("place", 0, 8),))]
    found = [
        [Prediction("place", 0.7, 0, 3), Prediction("place", 0.8, 0, 8), Prediction("person", 0.8, 0, 8)]
    ]
    items = list(judge(ProjectKind.ENTITIES, test, found))
    assert [right for _, right in items] == [False, True, False]
    assert score(ProjectKind.ENTITIES, test, items) == 2 * 1 / (3 + 1)


def test_calibration_error_by_hand():
    items = [(0.95, True), (0.95, False), (0.15, False), (1.0, True)]
    assert calibration_error(items) == pytest.approx((abs(2.9 - 2) + 0.15) / 4)
    assert math.isnan(calibration_error([]))


def test_precision_and_coverage_from_08_on():
    assert confident([(0.8, True), (0.9, False), (0.79, True), (0.1, False)]) == (0.5, 0.5)
    precision, coverage = confident([(0.5, True)])
    assert math.isnan(precision)
    assert coverage == 0.0
