"""Labels that do not fit the text: what can be learned from is learned, and the rest is reported."""

import pytest

from shared.domain.labels import Example, Span
from shared.domain.names import ProjectKind
from shared.engines import Engines, FitReport, NotEnoughExamples, fit_report, local_engines
from shared.engines.embedded import tagger_training
from tests.support.engines import ScriptedModel
from tests.unit.engines import examples

NAMES = "Paula Ricci,Omar Haddad,Mia Lund,Tom Okafor,Ines Moreau,Jonas Weber,Carlos Pinto,Zoe Janssen".split(
    ","
)


def _letters(before: int, after: int) -> list[Example]:
    """Each with a name, marked so many characters too early and too late."""
    texts = [f"Please send the parcel to {name} today, thank you." for name in NAMES]
    places = [(text.index(name), len(name)) for text, name in zip(texts, NAMES, strict=True)]
    return [
        Example(text, "en", (), (Span("who", start - before, length + before + after),))
        for text, (start, length) in zip(texts, places, strict=True)
    ]


async def _fitted(kind: ProjectKind, labeled: list[Example]):
    engine = Engines(local_engines()).get("embedded")
    return await engine.load(await engine.fit(kind, labeled))


@pytest.mark.parametrize(
    ("before", "after", "adjusted"),
    [
        (0, 0, {}),
        (0, 1, {"blankEdges": 8}),
        (1, 1, {"blankEdges": 8}),
        (-1, 0, {"partOfWord": 8}),
        (1, -2, {"blankEdges": 8, "partOfWord": 8}),
    ],
)
async def test_entities_with_spaces_at_the_edge_or_part_of_a_word(
    before: int, after: int, adjusted: dict[str, int]
):
    model = await _fitted(ProjectKind.ENTITIES, _letters(before, after))
    [[found]] = await model.predict(["Please send the parcel to Erik Sand today, thank you."])
    assert (found.offset, found.length) == (26, 9)
    assert fit_report(model) == FitReport({}, adjusted)


async def test_entities_that_cannot_be_used_are_counted():
    odd = (Span("where", 6, 1), Span("where", 7, 400), Span("who", 26, 3))
    labeled = [Example(letter.text, "en", (), (*letter.spans, *odd)) for letter in _letters(0, 0)]
    model = await _fitted(ProjectKind.ENTITIES, labeled)
    assert model.categories == ("who",)
    report = fit_report(model)
    assert report == FitReport({"blank": 8, "outsideText": 8, "overlap": 8})
    assert report.lines[0] == "Entities left out because they contain only whitespace: 8."


async def test_without_one_entity_that_can_be_used_the_reason_is_given():
    labeled = [Example(letter.text, "en", (), (Span("who", 6, 1),)) for letter in _letters(0, 0)]
    with pytest.raises(NotEnoughExamples, match="because they contain only whitespace: 8"):
        await _fitted(ProjectKind.ENTITIES, labeled)


async def test_what_is_not_read_is_counted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tagger_training, "_MOST_TOKENS", 100)
    monkeypatch.setattr(tagger_training, "_LEAST_TOKENS", 12)
    model = await _fitted(ProjectKind.ENTITIES, _letters(0, 0))
    assert not fit_report(model).left_out
    monkeypatch.setattr(tagger_training, "_MOST_TOKENS", 40)
    monkeypatch.setattr(tagger_training, "_LEAST_TOKENS", 7)
    tail = [
        Example(f"{letter.text} {letter.text}", "en", (), (*letter.spans, Span("who", 60, 3)))
        for letter in _letters(0, 0)
    ]
    model = await _fitted(ProjectKind.ENTITIES, tail)
    assert fit_report(model).left_out == {"unread": 5, "unreadDocument": 3}


async def test_documents_without_exactly_one_class():
    labeled = examples.single(9)
    odd = [Example("no class"), Example("two classes", "en", ("billing", "account"))]
    assert fit_report(await _fitted(ProjectKind.SINGLE_LABEL, labeled + odd)).left_out == {
        "noClass": 1,
        "severalClasses": 1,
    }
    with pytest.raises(NotEnoughExamples, match="because they have several classes: 5"):
        await _fitted(ProjectKind.SINGLE_LABEL, [odd[1]] * 5)
    assert fit_report(await _fitted(ProjectKind.MULTI_LABEL, labeled + odd)) == FitReport()


def test_models_of_other_engines_report_nothing():
    assert fit_report(ScriptedModel(ProjectKind.ENTITIES)) == FitReport()
