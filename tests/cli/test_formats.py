"""Label files: what is written comes back, with any text, and what cannot be read is refused with its place."""

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelbridge.formats import FORMATS, BadFile, Record, Span, from_document, to_labels
from labelbridge.formats.records import FIELDS, Misfit, Offsets, align, placed, same

TEXT = "Hi 👋🏽 Ana,\nfly to São Paulo 🇧🇷 today.\nBye"
SPANS = (Span(6, 9, "Person", "Ana"), Span(18, 27, "City", "São Paulo"), Span(28, 30, "Flag", "🇧🇷"))
#: Words, spaces, line breaks, signs of two UTF-16 code units, combining marks, odd separators.
LETTERS = st.sampled_from("ab,\n \t-()é👋🏽🇧\u0301\u2028\x1f\r\"'#%")
TEXTS = st.text(LETTERS, min_size=1, max_size=40)
NAMES = st.text(st.sampled_from("ab/()%é \n;,\"'.-=#"), min_size=1, max_size=12)
CATEGORIES = st.sampled_from(["City", "Person", "a;b", 'x"y', "-X-", "é,"])


def written(name: str, records: list[Record], field: Any) -> tuple[str, list[str]]:
    out = io.StringIO(newline="")
    warnings = FORMATS[name].write(records, out, field)
    return out.getvalue(), warnings


def read(name: str, text: str, field: Any) -> list[Record]:
    return list(FORMATS[name].read(io.StringIO(text, newline=""), field))


def record(text: str, spans: Any = (), categories: Any = (), location: str = "a.txt") -> Record:
    return Record(location, location, text, tuple(categories), tuple(spans), "Test", "en-us")


@st.composite
def texts_with_spans(draw: st.DrawFn, *, outer_spaces: bool) -> tuple[str, list[Span]]:
    """A text and spans in it that do not overlap; without `outer_spaces`, none begins or ends with one."""
    text = draw(TEXTS)
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=6)))
    found: list[Span] = []
    for start, end in zip(cuts[::2], cuts[1::2], strict=False):
        quote = text[start:end]
        if outer_spaces or quote == quote.strip():
            found.append(Span(start, end, draw(CATEGORIES), quote))
    return text, found


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
def test_entities_come_back_where_they_were(name, data):
    text, spans = data.draw(texts_with_spans(outer_spaces=name != "conll"))
    location = data.draw(NAMES)
    content, warnings = written(name, [record(text, spans, location=location)], "entities")
    assert not warnings
    [back] = read(name, content, "entities")
    assert placed(back, text) == [Span(s.start, s.end, s.category) for s in spans]
    assert back.location == (None if name == "spacy" else location)
    assert back.location or back.text == text


@pytest.mark.parametrize("name", [name for name in FORMATS if not FORMATS[name].entities_only])
@given(categories=st.lists(CATEGORIES, unique=True, max_size=4), location=NAMES, text=TEXTS)
def test_classes_come_back(name, categories, location, text):
    content, warnings = written(name, [record(text, categories=categories, location=location)], "classes")
    assert not warnings
    [back] = read(name, content, "classes")
    assert set(back.categories) == set(categories)
    assert back.location == (None if name == "spacy" else location)


@pytest.mark.parametrize("name", FORMATS)
def test_the_label_field_of_the_api_comes_back(name):
    """From UTF-16 code units to characters and back."""
    offsets = Offsets(TEXT)
    labels = [
        {
            "category": s.category,
            "offset": len(TEXT[: s.start].encode("utf-16-le")) // 2,
            "length": len(TEXT[s.start : s.end].encode("utf-16-le")) // 2,
        }
        for s in SPANS
    ]
    document: Any = {"location": "a.txt", "dataset": "Train", "language": "en", "id": "1"}
    document["entities"] = [{"regionOffset": 0, "regionLength": offsets.length, "labels": labels}]
    found = from_document(document, TEXT)
    assert found.spans == SPANS
    content, _ = written(name, [found], "entities")
    [back] = read(name, content, "entities")
    again = to_labels(back, "entities", TEXT)
    assert again == {"entities": document["entities"]}
    assert same(again, document, "entities")


def test_conll_is_as_its_readers_have_it():
    content, warnings = written(
        "conll", [record(TEXT, SPANS), record("No.", (), location="b (1).txt")], "entities"
    )
    assert not warnings
    lines = content.splitlines()
    assert lines[0] == "-DOCSTART- (a.txt)" and lines[1] == ""  # noqa: PT018
    assert "Ana -X- -X- B-Person" in lines
    assert lines[lines.index("São -X- -X- B-City") + 1] == "Paulo -X- -X- I-City"
    assert "-DOCSTART- (b (1).txt)" in lines
    assert lines[lines.index(", -X- -X- O") + 1] == ""  # a line of the text is a sentence


def test_conll_says_what_it_cannot_say():
    overlapping = record("one two", [Span(0, 7, "A", "one two"), Span(4, 7, "B", "two")])
    outer_spaces = record("one two", [Span(0, 4, "A", "one ")], location="b.txt")
    named = record("one two", [Span(0, 3, "A b", "one")], location="c.txt")
    content, warnings = written("conll", [overlapping, outer_spaces, named], "entities")
    assert content.count("DOCSTART") == 1
    assert [text.split(":")[0] for text in warnings] == ["a.txt", "b.txt", "c.txt"]


def test_spacy_leaves_out_overlapping_entities():
    content, [warning] = written("spacy", [record("one two", [Span(0, 7, "A"), Span(4, 7, "B")])], "entities")
    assert json.loads(content) == []
    assert "overlap" in warning


def test_spacy_has_only_the_keys_that_it_takes():
    content, _ = written("spacy", [record("a", categories=["A"]), record("b")], "class")
    assert json.loads(content) == [["a", {"cats": {"A": 1.0}}], ["b", {"cats": {"A": 0.0}}]]
    content, _ = written("spacy", [record(TEXT, SPANS)], "entities")
    assert json.loads(content)[0][1] == {"entities": [[6, 9, "Person"], [18, 27, "City"], [28, 30, "Flag"]]}


def test_label_studio_counts_characters_and_once_counted_code_units():
    task: Any = {"data": {"text": TEXT}, "annotations": [{"was_cancelled": True}, {"result": []}]}
    value = {"start": 18, "end": 27, "text": "São Paulo", "labels": ["City"]}
    task["annotations"][1]["result"] = [
        {"type": "labels", "from_name": "label", "to_name": "text", "value": value}
    ]
    [now] = read("label-studio", json.dumps([task]), "entities")
    value |= {"start": 20, "end": 29}
    [once] = read("label-studio", json.dumps([task]), "entities")
    assert placed(now, TEXT) == placed(once, TEXT) == [Span(18, 27, "City")]
    value |= {"start": 17, "end": 26}
    [wrong] = read("label-studio", json.dumps([task]), "entities")
    with pytest.raises(Misfit, match="At 17 to 26 the text is not 'São Paulo'"):
        placed(wrong, TEXT)
    assert read("label-studio", json.dumps([{"data": {"text": "x"}}]), "entities") == []


@pytest.mark.parametrize(
    ("name", "field"),
    [(n, f) for n in FORMATS for f in FIELDS.values() if f == "entities" or not FORMATS[n].entities_only],
)
def test_labeled_with_nothing_stays_that(name, field):
    content, _ = written(name, [record(TEXT)], field)
    [back] = read(name, content, field)
    labels: Any = to_labels(back, field, TEXT)
    nothing = {"class": {"category": None}, "classes": []}
    assert labels[field] == nothing.get(
        field, [{"regionOffset": 0, "regionLength": Offsets(TEXT).length, "labels": []}]
    )


@pytest.mark.parametrize("name", ["csv", "jsonl"])
def test_dataset_and_language_come_back(name):
    content, _ = written(name, [record("a", categories=["A"])], "class")
    [back] = read(name, content, "class")
    assert (back.dataset, back.language) == ("Test", "en-us")


BAD = [
    ("csv", "class", "file,label\na,b\n", "Line 1: the columns category and location are missing."),
    ("csv", "class", "location,category\na,A\na,B\n", "Line 3: the document has 2 classes"),
    (
        "csv",
        "class",
        "location,category,dataset\na,A,Dev\n",
        "Line 2: the dataset must be 'Train' or 'Test', not 'Dev'.",
    ),
    ("csv", "classes", "location,category\na,A\na,\n", "Line 3: 'a' is labeled with nothing in one row"),
    ("csv", "entities", "location,category,start,end\na,A,1,x\n", "Line 2: the end must be a whole number"),
    ("csv", "class", 'location,category\n"a,A\n', "unexpected end"),
    ("jsonl", "class", "{}\n", "Line 1: 'category' is missing"),
    ("jsonl", "class", "\n[1]\n", "Line 2: not a JSON object."),
    ("jsonl", "class", "{", "Line 1: not JSON"),
    ("jsonl", "classes", '{"categories": "A", "location": "a"}', "Line 1: 'categories' must be a list."),
    ("jsonl", "entities", '{"entities": [1], "location": "a"}', "Line 1: an entity must be an object"),
    ("jsonl", "class", '{"category": "A", "location": "a"}\n' * 2, "Line 2: 'a' is listed twice."),
    ("spacy", "entities", "{}", "must be a JSON list"),
    ("spacy", "entities", '[["a", {"cats": {}}]]', "Item 1: 'entities' must be a list"),
    ("spacy", "class", '[["a", {"cats": {"A": 1, "B": 1}}]]', "Item 1: the document has 2 classes"),
    ("conll", "entities", "Paris B-City\n", "Line 1: the file must begin with '-DOCSTART-"),
    ("conll", "entities", "-DOCSTART- -X- O O\n", "Line 1: the name of the document is missing"),
    ("conll", "entities", "-DOCSTART- (a)\nParis City\n", "Line 2: must end with a tag"),
    ("conll", "class", "-DOCSTART- (a)\n", "CoNLL files hold entities"),
    ("label-studio", "class", "[1]", "Task 1: must be an object with 'data'"),
    (
        "label-studio",
        "class",
        '[{"data": {"text": "a"}, "annotations": [{}, {}]}]',
        "Task 1: has 2 annotations",
    ),
]


@pytest.mark.parametrize(("name", "field", "content", "message"), BAD)
def test_a_file_that_cannot_be_read_says_where_and_why(name, field, content, message):
    with pytest.raises(BadFile) as refused:
        read(name, content, field)
    assert message in str(refused.value)


def test_labels_of_another_text_are_not_placed():
    with pytest.raises(Misfit, match="differs from that of the document"):
        to_labels(record("Paris", [Span(0, 5, "City")]), "entities", "Rome!")
    with pytest.raises(Misfit, match="is not inside the text"):
        to_labels(replace(record("", [Span(0, 9, "City")]), text=None), "entities", "Rome!")
    with pytest.raises(Misfit, match="does not match the text"):
        list(align([("Paris", "City", True)], "Rome"))
    with pytest.raises(Misfit, match="no token for the text from character 5"):
        list(align([("Paris", "City", True)], "Paris now"))


def test_a_place_inside_an_emoji_is_refused():
    document: Any = {"location": "a", "dataset": "Train", "language": "en"}
    labels = [{"category": "A", "offset": 1, "length": 1}]
    document["entities"] = [{"regionOffset": 0, "regionLength": 2, "labels": labels}]
    with pytest.raises(Misfit, match="not between two characters"):
        from_document(document, "👋")
