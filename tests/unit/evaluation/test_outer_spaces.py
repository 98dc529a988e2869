from hypothesis import given
from hypothesis import strategies as st

from shared.domain.labels import EntityLabel, Labels, Region
from shared.domain.names import ProjectKind
from shared.domain.text import Offsets
from shared.domain.training import EvaluatedDocument, SplitOptions
from shared.engines.evaluation import evaluate, without_outer_spaces


def _labels(*spans: tuple[int, int]) -> Labels:
    return Labels(regions=(Region(0, 30, tuple(EntityLabel("who", *span) for span in spans)),))


def test_spaces_at_the_edges_go_and_offsets_stay_utf16():
    text = "😀 Anna  and  Bo"
    labels = _labels((2, 6), (3, 4), (7, 2), (9, 3), (0, 3), (200, 3))
    assert without_outer_spaces(labels, text) == _labels((3, 4), (3, 4), (9, 3), (0, 2), (200, 3))


def test_labels_with_a_blank_behind_them_are_found():
    text = "Send it to Paula Ricci today."
    expected = _labels((11, 12))
    predicted = _labels((11, 11))
    scores = []
    for labels in (expected, without_outer_spaces(expected, text)):
        document = EvaluatedDocument("a.txt", "en", len(text), labels, predicted)
        summary = evaluate(ProjectKind.ENTITIES, ["who"], [document], SplitOptions()).summary
        scores.append(summary["customEntityRecognitionEvaluation"]["microF1"])
    assert scores == [0.0, 1.0]


TEXTS = st.text(st.sampled_from("ab \n\u00a0\u3000😀"), max_size=12)


@given(TEXTS, st.integers(0, 12), st.integers(0, 12))
def test_what_is_kept_is_what_was_covered_without_outer_spaces(text: str, start: int, end: int):
    start, end = sorted((min(start, len(text)), min(end, len(text))))
    offsets = Offsets(text)
    found = without_outer_spaces(_labels(offsets.span_to_utf16(start, end - start)), text)
    kept = [offsets.span_to_code_points(entity.offset, entity.length) for entity in found.entities()]
    covered = text[start:end].strip()
    assert [text[a : a + n] for a, n in (span for span in kept if span)] == ([covered] if covered else [])
