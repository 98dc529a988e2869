import tracemalloc

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from shared.engines.embedded import logistic


def _problem(categories: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(60, 8))
    truth = (points @ rng.normal(size=(8, categories)) + rng.normal(size=(60, categories))).argmax(axis=1)
    return points, truth


def test_softmax_agrees_with_scikit_learn():
    points, truth = _problem(4)
    ours = logistic.fit(points, np.eye(4)[truth], np.ones(60), np.arange(60), strength=2.0, exclusive=True)
    theirs = LogisticRegression(C=2.0, tol=1e-8, max_iter=1000).fit(points, truth)
    # The intercept carries a trace of penalty, so the fit is close rather than equal.
    assert logistic.scores(points, ours).argmax(axis=1).tolist() == theirs.predict(points).tolist()
    assert np.abs(ours[:-1].T - theirs.coef_).max() < 0.01


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_one_against_the_rest_agrees_with_scikit_learn(weight: float):
    points, truth = _problem(3)
    targets = np.eye(3)[truth]
    weights = np.where(np.arange(60) < 30, weight, 1.0)
    ours = logistic.fit(points, targets, weights, np.arange(60), strength=5.0, exclusive=False)
    for category in range(3):
        theirs = LogisticRegression(C=5.0, tol=1e-8, max_iter=1000)
        theirs.fit(points, targets[:, category], sample_weight=weights)
        assert np.abs(ours[:-1, category] - theirs.coef_[0]).max() < 0.01


def test_a_category_without_an_example_stays_finite_and_improbable():
    points, truth = _problem(3)
    coefficients = logistic.fit(
        points, np.eye(4)[truth], np.ones(60), np.arange(60), strength=10.0, exclusive=True
    )
    scores = logistic.scores(points, coefficients)
    assert np.isfinite(coefficients).all()
    assert (scores[:, 3] < scores.max(axis=1) - 2).all()


@pytest.mark.parametrize("exclusive", [True, False])
def test_only_the_given_rows_count_whatever_fits_together(monkeypatch, exclusive: bool):
    points, truth = _problem(3)
    targets, rows, weights = np.eye(3)[truth], np.array([*range(40), 58, 50]), np.linspace(0.5, 1, 42)
    part = points[rows], targets[rows], weights, np.arange(42)
    expected = logistic.fit(*part, strength=5.0, exclusive=exclusive)
    monkeypatch.setattr(logistic, "_CHUNK", 5)
    found = logistic.fit(points, targets, weights, rows, strength=5.0, exclusive=exclusive)
    assert found == pytest.approx(expected, abs=1e-3)


def test_a_fit_does_not_copy_its_points():
    rng = np.random.default_rng(0)
    points, truth = rng.normal(size=(5_000, 300)).astype(np.float32), rng.integers(0, 2, 5_000)
    targets, rows = np.eye(2)[truth], np.arange(4_000)
    few = points[:10], targets[:10], np.ones(10), np.arange(10)
    logistic.fit(*few, strength=1.0, exclusive=True)  # imports
    tracemalloc.start()
    try:
        logistic.fit(points, targets, np.ones(4_000), rows, strength=1.0, exclusive=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < points.nbytes / 4
