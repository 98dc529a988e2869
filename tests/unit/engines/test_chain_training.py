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
from shared.engines.embedded.chain_training import Seen, _Steps, fit, minimize
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


def test_the_weights_are_those_of_crfsuite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(chain_training, "_IMPROVEMENT", 0.0)
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 9, 60).tolist()
    labels = rng.integers(0, LABELS, sum(lengths)).tolist()
    # The first attribute tells the label most of the time; the others are noise that words share.
    words = [[label if rng.random() < 0.8 else 3, *(4 + rng.integers(0, 6, 2)).tolist()] for label in labels]
    context = [[10 + int(rng.integers(0, 4))] for _ in labels]
    tokens = [[place] for place in range(len(labels))]
    seen = Seen(ones_at(words, 14), ones_at(tokens, len(labels)), ones_at(context, 14))
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
    assert chain.transitions == pytest.approx(steps, abs=0.05)


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
