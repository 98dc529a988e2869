"""Documents that leave the arithmetic nothing to hold on to: equal ones, empty ones, one word, one label."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.domain.labels import Example, Span
from shared.domain.names import ProjectKind
from shared.engines import EngineError, Engines, EngineUnavailable, local_engines
from shared.engines.embedded import models, numeric, sentences
from shared.engines.embedded.chain import Chain
from shared.engines.embedded.classifier_training import _Coordinates
from shared.engines.embedded.engine import EmbeddedEngine
from shared.engines.embedded.features import Features, Rows
from shared.engines.embedded.logistic import Points
from shared.engines.embedded.numeric import csr_array
from tests.unit.engines import examples

CLASSES = (ProjectKind.SINGLE_LABEL, ProjectKind.MULTI_LABEL)
WORDS = ["", " ", "a", "b", "same", "words", ".", "\x00", "\ud800", "\u0301", "😀", "中", "\n"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)
FITS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def labeled(draw: st.DrawFn) -> list[Example]:
    """At least two classes; often few different texts, and one class with one example."""
    texts = draw(st.lists(TEXTS, min_size=1, max_size=3))
    names = draw(st.lists(st.sampled_from("abc"), min_size=4, max_size=30))
    return [
        Example(draw(st.sampled_from(texts)), "en", (name,)) for name in [*names, "d", names[0]]
    ]  # fmt: skip


@pytest.mark.parametrize("kind", CLASSES)
@FITS
@given(labeled=labeled(), unlabeled=st.lists(TEXTS, max_size=3))
def test_any_labels_give_a_model(kind: ProjectKind, labeled: list[Example], unlabeled: list[str]):
    with warnings.catch_warnings(action="error"):
        model, _ = models.load(models.fit(kind, labeled, unlabeled, 0))
        for found in model.predict([*unlabeled, labeled[0].text, "", "never seen"]):
            assert all(0 <= prediction.confidence <= 1 for prediction in found)
            assert found or kind is ProjectKind.MULTI_LABEL


@FITS
@given(
    spans=st.lists(st.tuples(st.integers(-2, 9), st.integers(-2, 9)), min_size=1, max_size=4),
    texts=st.lists(TEXTS, min_size=1, max_size=6),
)
def test_any_entities_give_a_model(spans: list[tuple[int, int]], texts: list[str]):
    given_ = [Example(text, "en", (), tuple(Span("thing", *span) for span in spans)) for text in texts]
    with warnings.catch_warnings(action="error"):
        model, _ = models.load(models.fit(ProjectKind.ENTITIES, [*given_, *examples.entities(3)], [], 0))
        for found in model.predict([*texts, "", "Anna"]):
            assert all(0 <= prediction.confidence <= 1 for prediction in found)


@pytest.mark.parametrize(
    "labeled",
    [
        pytest.param(
            [Example(f"w{n}", "en", (), (Span(f"category {n % 27}", 0, 2),)) for n in range(54)],
            id="27 categories, documents of two tokens",
        ),
        pytest.param([Example("a", "en", (), (Span("thing", 0, 1),))] * 6, id="documents of one equal token"),
        pytest.param([Example("a " * 50, "en", (), (Span("thing", 8, 1),))] * 6, id="all tokens equal"),
        pytest.param(
            [*examples.entities(20), Example("Omega", "en", (), (Span("rare", 0, 5),))],
            id="a category with one example",
        ),
        pytest.param(
            [Example("a", "en", (), (Span("thing", 0, 1),)), *[Example("b c", "en", ())] * 5],
            id="one example in all",
        ),
    ],
)
def test_few_tokens_give_a_model(labeled: list[Example]):
    with warnings.catch_warnings(action="error"):
        model, _ = models.load(models.fit(ProjectKind.ENTITIES, labeled, [], 0))
        for found in model.predict([*(example.text for example in labeled), "", "Anna never seen"]):
            assert all(0 <= prediction.confidence <= 1 for prediction in found)


@pytest.mark.parametrize("kind", CLASSES)
def test_thousands_of_nearly_equal_documents(kind: ProjectKind, monkeypatch: pytest.MonkeyPatch):
    """2,000 documents of a few words were too many for a plain Cholesky decomposition."""
    monkeypatch.setattr(sentences, "_encoder", lambda: None)
    rng = np.random.default_rng(0)
    words = np.array(["order", "refund", "late", "wheel", "chain"])
    texts = [" ".join(rng.choice(words, 60)) for _ in range(2_000)]
    labeled = [Example(text, "en", ("ab"[number % 2],)) for number, text in enumerate(texts)]
    model, _ = models.load(models.fit(kind, labeled, [], 0))
    assert all(found[0].confidence < 0.7 for found in model.predict(texts[:50]) if found)


@pytest.mark.parametrize("kind", ProjectKind)
def test_thousands_of_nearly_equal_documents_of_which_one_has_another_label(
    kind: ProjectKind, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sentences, "_encoder", lambda: None)
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(["order", "late"], 8)) for _ in range(5_000)]
    labeled = [Example(text, "en", ("common",), (Span("common", 0, 5),)) for text in texts]
    labeled[7] = Example("wheel order", "en", ("rare",), (Span("rare", 0, 5),))
    with warnings.catch_warnings(action="error"):
        model, _ = models.load(models.fit(kind, labeled, [], 0))
        found = model.predict([*texts[:20], ""])
    assert [predictions[0].category for predictions in found[:20]] == ["common"] * 20


@st.composite
def features(draw: st.DrawFn) -> Features:
    """Rows of two parts; many depend on others, or are zero. Half of the sparse columns are of two rows at most."""
    rows, rank = draw(st.integers(1, 30)), draw(st.integers(0, 4))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    scale = draw(st.sampled_from([0.0, 1e-9, 1.0]))
    parts = [rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, width)) for width in (8, 5)]
    noisy = [(part + scale * rng.normal(size=part.shape)).astype(np.float32) for part in parts]
    for part in noisy:
        part[rng.random(rows) < 0.3] = 0
    noisy[0][2:, ::2] = 0
    return Features(csr_array(noisy[0]), noisy[1])


def coordinates(features: Features, documents: int, drawn: int = 30) -> tuple[Points, _Coordinates]:
    """Columns of more than two rows count as common, so most features have common and rare ones. Few columns and rows
    are computed together.
    """

    def of(rows: Rows) -> Features:
        return Features(features.sparse[rows], features.dense[rows])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shared.engines.embedded.features._FEW_ROWS", 2)
        patch.setattr("shared.engines.embedded.features._TOGETHER", 3)
        patch.setattr("shared.engines.embedded.features._ROWS", 7)
        patch.setattr("shared.engines.embedded.classifier_training._CHUNK", 10)
        patch.setattr("shared.engines.embedded.classifier_training._MOST_SPANNING", drawn)
        return _Coordinates.of(of, len(features.dense), documents, 0)


@given(features=features())
def test_coordinates_keep_the_inner_products(features: Features):
    count = len(features.dense)
    rows = np.hstack([features.sparse.toarray(), features.dense]).astype(np.float64)
    points, _ = coordinates(features, count - 1)
    assert points @ points.T == pytest.approx(rows @ rows.T, rel=1e-3, abs=1e-3)


@given(features=features(), drawn=st.integers(1, 30))
def test_weights_give_the_scores_of_the_coordinates(features: Features, drawn: int):
    points, found = coordinates(features, len(features.dense), drawn)
    coefficients = np.random.default_rng(1).normal(size=(points.shape[1], 2))
    sparse, dense = found.in_features(coefficients)
    scores = features.sparse @ sparse + features.dense @ dense
    assert scores == pytest.approx(points @ coefficients, abs=0.05)


@given(
    st.lists(st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=5), min_size=1, max_size=6),
    st.lists(st.floats(-1e6, 1e6), min_size=25, max_size=25),
)
def test_extreme_scores_give_probabilities(scores: list[list[float]], transitions: list[float]):
    chain = Chain(None, np.array(transitions).reshape(5, 5))
    with np.errstate(all="raise", under="ignore"):
        [found] = chain.candidates(np.array(scores), [len(scores)])
    assert all(0 < candidate.probability <= 1 for candidate in found)


def test_a_text_that_the_encoder_makes_no_numbers_of(monkeypatch: pytest.MonkeyPatch):
    class Broken:
        def encode(self, texts: list[str]) -> np.ndarray:
            return np.full((len(texts), sentences.WIDTH), np.nan, dtype=np.float32)

    monkeypatch.setattr(sentences, "_encoder", Broken)
    monkeypatch.setattr(sentences, "MEMORY", sentences.Memory())
    assert not sentences.encode(["a text"]).any()
    model, _ = models.load(models.fit(ProjectKind.SINGLE_LABEL, examples.single(9), [], 0))
    assert model.predict(["an invoice"])


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        (np.linalg.LinAlgError("secret"), EngineError, r"could not learn from these labels \(LinAlgError\)"),
        (
            ZeroDivisionError("secret"),
            EngineError,
            r"could not learn from these labels \(ZeroDivisionError\)",
        ),
        (MemoryError(), EngineUnavailable, "does not have enough memory to learn from these labels"),
    ],
)
async def test_what_goes_wrong_is_an_error_for_a_person(
    raised: Exception, kind: type[EngineError], message: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(models, "fit", _raising(raised))
    engine = Engines(local_engines()).get("embedded")
    with pytest.raises(kind, match=message) as caught:
        await engine.fit(ProjectKind.SINGLE_LABEL, examples.single(9))
    assert caught.value.__cause__ is raised
    assert "secret" not in str(caught.value)


async def test_a_prediction_that_goes_wrong_is_an_error_for_a_person(monkeypatch: pytest.MonkeyPatch):
    engine = EmbeddedEngine()
    model = await engine.load(await engine.fit(ProjectKind.SINGLE_LABEL, examples.single(9)))
    monkeypatch.setattr(model._predictor, "predict", _raising(ValueError("secret")))
    with pytest.raises(EngineError, match=r"could not predict these texts \(ValueError\)"):
        await model.predict(["a text"])


def _raising(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("limit", "count"),
    [
        ("max 100000\n", 4), ("100000 100000\n", 1), ("250000 100000\n", 2), ("50000 100000\n", 1),
        ("900000 100000\n", 4), ("nonsense", 4), (None, 4),
    ],
)  # fmt: skip
def test_a_container_may_have_a_share_of_the_processors(tmp_path, monkeypatch, limit: str | None, count: int):
    monkeypatch.setattr(numeric.os, "process_cpu_count", lambda: 4)
    if limit is not None:
        (tmp_path / "cpu.max").write_text(limit)
    assert numeric.processors(tmp_path / "cpu.max") == count
