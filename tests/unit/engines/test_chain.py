"""The chain against the sum over all label sequences, written out."""

import time
from itertools import pairwise, product

import numpy as np
import pytest

from shared.engines.embedded.chain import Candidate, Chain, without_overlaps

CATEGORIES = 2
LABELS = 2 * CATEGORIES + 1


def _well_formed(labels: tuple[int, ...]) -> bool:
    return all(
        label == 0 or label % 2 == 1 or (place > 0 and labels[place - 1] in (label, label - 1))
        for place, label in enumerate(labels)
    )


def _spans(labels: tuple[int, ...]) -> set[tuple[int, int, int]]:
    spans = set()
    for start, label in enumerate(labels):
        if label % 2:
            end = start + 1
            while end < len(labels) and labels[end] == label + 1:
                end += 1
            spans.add((start, end, label // 2))
    return spans


def _by_enumeration(scores: np.ndarray, transitions: np.ndarray) -> dict[tuple[int, int, int], float]:
    total, of_span = 0.0, {}
    for labels in filter(_well_formed, product(range(LABELS), repeat=len(scores))):
        weight = np.exp(
            sum(scores[place, label] for place, label in enumerate(labels))
            + sum(transitions[a, b] for a, b in pairwise(labels))
        )
        total += weight
        for span in _spans(labels):
            of_span[span] = of_span.get(span, 0.0) + weight
    return {span: weight / total for span, weight in of_span.items()}


@pytest.mark.parametrize("seed", range(5))
def test_span_probabilities_are_exact(seed: int):
    rng = np.random.default_rng(seed)
    lengths = [1, 5, 3, 0]
    scores = rng.normal(scale=1.5, size=(sum(lengths), LABELS))
    chain = Chain(None, rng.normal(size=(LABELS, LABELS)))
    found = chain.candidates(scores, lengths)
    start = 0
    for length, candidates in zip(lengths, found, strict=True):
        expected = _by_enumeration(scores[start : start + length], chain.transitions) if length else {}
        got = {(c.start, c.end, c.category): c.probability for c in candidates}
        assert got == pytest.approx({span: p for span, p in expected.items() if span in got}, rel=1e-9)
        assert {span for span, p in expected.items() if p > 0.041} <= set(got)
        start += length


def test_the_surest_of_overlapping_spans_wins():
    spans = [
        Candidate(0.5, 0, 2, 0),
        Candidate(0.6, 1, 3, 1),
        Candidate(0.4, 3, 4, 0),
        Candidate(0.1, 5, 6, 0),
    ]
    assert without_overlaps(spans, 0.2) == [spans[1], spans[2]]


def test_many_spans_take_time_in_proportion():
    """The longest document can have tens of thousands; each against each took ten seconds."""
    spans = [Candidate(0.9, start, start + 2, 0) for start in range(0, 100_000, 2)]
    started = time.process_time()
    assert without_overlaps(spans, 0.5) == spans
    assert time.process_time() - started < 5
