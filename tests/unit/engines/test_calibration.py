import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.engines.embedded import logistic
from shared.engines.embedded.logistic import Platt


@pytest.mark.parametrize("exaggeration", [0.5, 1.0, 4.0])
def test_the_temperature_undoes_exaggeration(exaggeration: float):
    rng = np.random.default_rng(1)
    logits = rng.normal(scale=2, size=(2000, 3))
    truth = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    assert logistic.temperature(logits * exaggeration, truth) == pytest.approx(exaggeration, rel=0.1)


def test_platt_finds_the_curve_that_drew_the_truth():
    rng = np.random.default_rng(1)
    scores = rng.normal(scale=3, size=5000)
    truth = (rng.random(5000) < 1 / (1 + np.exp(-(0.5 * scores - 1)))).astype(float)
    fitted = Platt.fit(scores, truth)
    assert fitted.slope == pytest.approx(0.5, abs=0.05)
    assert fitted.shift == pytest.approx(-1, abs=0.1)


def test_without_anything_held_out_scores_stay_as_they_are():
    nothing = np.zeros(0)
    assert Platt.fit(nothing, nothing) == Platt(1.0, 0.0)
    assert logistic.temperature(np.zeros((0, 2)), np.zeros(0, dtype=np.int64)) == 1.0
    assert logistic.best_threshold(nothing, nothing) == 0.5


@given(
    st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=30),
    st.integers(min_value=0, max_value=5),
)
def test_the_threshold_is_the_best_there_is(items: list[tuple[int, bool]], unseen: int):
    values = np.array([value / 20 for value, _ in items])
    truth = np.array([float(right) for _, right in items])
    total = int(truth.sum()) + unseen

    def f1(threshold: float) -> float:
        chosen = values >= threshold
        return 2 * truth[chosen].sum() / max(1, chosen.sum() + total)

    threshold = logistic.best_threshold(values, truth, total)
    assert f1(threshold) == pytest.approx(max(f1(value) for value in values))


@pytest.mark.parametrize(("documents", "sure", "highest"), [(29, 50, 0.79), (30, 7, 0.79), (30, 8, 1.0)])
def test_high_confidence_must_be_earned(documents: int, sure: int, highest: float):
    confidences = np.array([0.95] * sure + [0.5] * 20)
    assert logistic.ceiling(documents, confidences) == highest
