"""The training of the chain against sums over all label sequences, and against python-crfsuite."""

from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pycrfsuite  # pyright: ignore[reportMissingTypeStubs]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.engines.embedded import chain_training
from shared.engines.embedded.chain_training import Seen, _Loss, _Steps, fit, minimize
from shared.engines.embedded.numeric import ones_at

LABELS = 3
crfsuite: Any = pycrfsuite


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [1.0, 60.0])
def test_expected_counts_are_exact(seed: int, scale: float):
    rng = np.random.default_rng(seed)
    lengths = [2, 4, 1, 4, 3]
    scores = (scale * rng.normal(size=(sum(lengths), LABELS))).astype(np.float32)
    transitions = rng.normal(size=(LABELS, LABELS))
    steps = _Steps(lengths)
    logarithm, found, follows = steps.posterior(scores[steps.order], transitions)

    expected, pairs, total, begin = np.zeros(scores.shape), np.zeros((LABELS, LABELS)), 0.0, 0
    for length in lengths:
        paths = list(product(range(LABELS), repeat=length))
        logs = np.array([
            sum(float(scores[begin + place, label]) for place, label in enumerate(path))
            + sum(transitions[a, b] for a, b in pairwise(path))
            for path in paths
        ])  # fmt: skip
        total += logs.max() + np.log(np.exp(logs - logs.max()).sum())
        for path, probability in zip(
            paths, np.exp(logs - logs.max()) / np.exp(logs - logs.max()).sum(), strict=True
        ):
            expected[range(begin, begin + length), path] += probability
            for step in pairwise(path):
                pairs[step] += probability
        begin += length
    assert logarithm == pytest.approx(total, rel=1e-9)
    assert found == pytest.approx(expected[steps.order], abs=1e-9)
    assert follows == pytest.approx(pairs, abs=1e-9)


@pytest.mark.parametrize("together", [30, 10_000])
def test_the_weights_are_those_of_crfsuite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, together: int):
    monkeypatch.setattr(chain_training, "_IMPROVEMENT", 0.0)
    monkeypatch.setattr(chain_training, "_ROUNDING", 0.0)
    monkeypatch.setattr(chain_training, "_TOGETHER", together)
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 9, 60).tolist()
    labels = rng.integers(0, LABELS, sum(lengths)).tolist()
    # The first attribute tells the label most of the time; the others are noise that words share. Every third token
    # is the only one to see an attribute of its word and two of its context.
    words = [[label if rng.random() < 0.8 else 3, *(4 + rng.integers(0, 6, 2)).tolist()] for label in labels]
    context = [[10 + int(rng.integers(0, 4))] for _ in labels]
    width = 14
    for place in range(0, len(labels), 3):
        words[place].append(width)
        context[place] += [width + 1, width + 2]
        width += 3
    tokens = [[place] for place in range(len(labels))]
    seen = Seen(ones_at(words, width), ones_at(tokens, len(labels)), ones_at(context, width))
    chain = fit(seen, labels, lengths, LABELS, 400)
    weights = chain.weights.toarray()

    trainer = crfsuite.Trainer(verbose=False)
    weighted = {"c1": 0.05, "c2": 0.05, "feature.possible_transitions": True}
    trainer.set_params(weighted | {"max_iterations": 2_000, "delta": 1e-9, "epsilon": 1e-9})
    begin = 0
    for length in lengths:
        rows = range(begin, begin + length)
        trainer.append(
            [[f"{n}" for n in (*words[i], *context[i])] for i in rows], [str(labels[i]) for i in rows]
        )
        begin += length
    trainer.train(str(tmp_path / "model"))
    tagger = crfsuite.Tagger()
    tagger.open(str(tmp_path / "model"))
    theirs, steps = np.zeros(weights.shape), np.zeros((LABELS, LABELS))
    for (attribute, label), weight in tagger.info().state_features.items():
        theirs[int(attribute), int(label)] = weight
    for (before, after), weight in tagger.info().transitions.items():
        steps[int(before), int(after)] = weight
    tagger.close()
    assert np.abs(theirs).max() > 1
    assert weights == pytest.approx(theirs, abs=0.05)
    assert np.count_nonzero(weights[14:]) > 50
    assert chain.transitions == pytest.approx(steps, abs=0.05)


@given(
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4), min_size=1, max_size=6),
    st.integers(1, 4),
    st.integers(0, 99),
)
def test_the_slope_is_that_of_the_loss(attributes: list[list[int]], together: int, seed: int):
    """Also of attributes that one token alone sees, or none; of one token; of tokens that are all equal."""
    rng = np.random.default_rng(seed)
    lengths = [1, 2, 1, 3, 5][: int(rng.integers(1, 6))]
    count = sum(lengths)
    words = ones_at([sorted({*row}) for row in attributes], 14)
    tokens = ones_at(rng.integers(0, len(attributes), (count, 2)).tolist(), len(attributes))
    context = ones_at([[int(rng.integers(6, 12))] for _ in range(count)], 14)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain_training, "_TOGETHER", together)
        loss = _Loss(Seen(words, tokens, context), rng.integers(0, LABELS, count), lengths, LABELS)
    at = rng.normal(size=len(loss.start))
    _, slope = loss(at)
    step = 1e-2
    for place in rng.choice(len(at), min(len(at), 10), replace=False).tolist():
        moved = [at.copy(), at.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        rise = (loss(moved[0])[0] - loss(moved[1])[0]) / (2 * step)
        assert slope[place] == pytest.approx(rise, abs=2e-3)


def test_a_fit_ends_when_only_rounding_is_left():
    """Of labels that are easy to tell apart, the loss falls to a part of its start that scores know no better."""
    calls = 0

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal calls
        calls += 1
        value = 5e3 * float((x - 1) @ (x - 1))
        return 1e-2 * np.random.default_rng(calls).random() + value, 1e4 * (x - 1)

    minimize(loss, np.zeros(3), 1_000)
    assert calls < 20


@given(
    st.lists(st.floats(-2, 2), min_size=1, max_size=8), st.lists(st.floats(0.1, 10), min_size=8, max_size=8)
)
def test_what_is_gained_by_less_than_a_weight_costs_stays_zero(aims: list[float], curves: list[float]):
    """Of separate parabolas the least is known: each aim, nearer to 0 by the cost of a weight over its curve."""
    aim, curve = np.array(aims), np.array(curves[: len(aims)])
    found = minimize(
        lambda x: (1 + 0.5 * float((curve * (x - aim) ** 2).sum()), curve * (x - aim)),
        np.zeros(len(aims)),
        200,
    )
    expected = np.sign(aim) * np.maximum(np.abs(aim) - 0.05 / curve, 0)
    assert found == pytest.approx(expected, abs=0.1)
    assert not found[curve * np.abs(aim) <= 0.05].any()


def test_a_fit_ends_when_it_gains_little():
    calls = 0

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal calls
        calls += 1
        return 100 + 0.5 * float(x @ x), x

    minimize(loss, np.full(3, 1e-3), 1_000)
    assert calls < 20
