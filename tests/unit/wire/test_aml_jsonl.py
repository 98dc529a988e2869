"""Label files of Azure Machine Learning: read as they come, strict line by line, written and read back the
same.
"""

import json
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.kinds import ProjectKind
from shared.domain.labels import EntityLabel, Labels, Region
from shared.domain.text import Offsets
from shared.wire.aml_jsonl import MAX_LINE_BYTES, can_be_written, read, read_stream, to_labels, to_line
from shared.wire.aml_line import AmlLine, BadLine

SINGLE, MULTI, ENTITIES = ProjectKind.SINGLE_LABEL, ProjectKind.MULTI_LABEL, ProjectKind.ENTITIES
LONG = (
    "azureml://subscriptions/0/resourcegroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ws"
    "/datastores/ds/paths/a/b.txt"
)


def line(label: object, url: str = "AmlDatastore://ds/a.txt", **more: object) -> bytes:
    return json.dumps({"image_url": url, "label": label, **more}).encode() + b"\n"


def span(start: object, end: object, label: object = "PER") -> dict[str, object]:
    return {"label": label, "offsetStart": start, "offsetEnd": end}


def one(raw: bytes, kind: ProjectKind, datastore: str | None = None) -> AmlLine | BadLine:
    (found,) = read([raw], kind, datastore)
    return found


def test_the_three_kinds() -> None:
    assert one(line("x", label_confidence=1.0), SINGLE) == AmlLine(1, "ds", "a.txt", ("x",))
    assert one(line(["x", "y"], label_confidence=[1.0, 0.5]), MULTI) == AmlLine(1, "ds", "a.txt", ("x", "y"))
    assert one(line([], label_confidence=[]), MULTI) == AmlLine(1, "ds", "a.txt")
    found = one(line([span(0, 8), span("17", "24", "LOC")], label_confidence=[1.0, 1.0]), ENTITIES)
    assert isinstance(found, AmlLine)
    assert found.spans == (EntityLabel("PER", 0, 8), EntityLabel("LOC", 17, 7)), "offsetEnd is exclusive"


@pytest.mark.parametrize(
    ("url", "datastore", "location"),
    [
        ("AmlDatastore://textcontainer/wnut17_ner/file1098.txt", "textcontainer", "wnut17_ner/file1098.txt"),
        ("amldatastore://ds/a b/ü.txt", "ds", "a b/ü.txt"),
        (LONG, "ds", "a/b.txt"),
        (LONG.replace("/providers/Microsoft.MachineLearningServices", ""), "ds", "a/b.txt"),
        ("azureml://datastores/ds/paths/a/datastores/b/paths/c.txt", "ds", "a/datastores/b/paths/c.txt"),
    ],
)
def test_both_forms_of_path(url: str, datastore: str, location: str) -> None:
    assert one(line("x", url), SINGLE) == AmlLine(1, datastore, location, ("x",))


def test_unknown_keys_blank_lines_a_byte_order_mark_and_crlf_are_tolerated() -> None:
    data = b"\xef\xbb\xbf" + line("x", image_width=3, labelers=["a"]).rstrip() + b"\r\n\r\n  \n"
    data += line("y", "AmlDatastore://ds/b.txt").rstrip()
    assert list(read([data], SINGLE)) == [
        AmlLine(1, "ds", "a.txt", ("x",)),
        AmlLine(4, "ds", "b.txt", ("y",)),
    ]


BAD = [
    (SINGLE, b"{", "not JSON"),
    (SINGLE, b"[]", "not a JSON object"),
    (SINGLE, b'{"a": 1, "a": 2}', "twice"),
    (SINGLE, b'{"image_url": "\xff"}', "not valid UTF-8"),
    (SINGLE, b'{"label": NaN}', "NaN"),
    (SINGLE, b"[" * 100_000, "too deeply"),
    (SINGLE, b'{"a": ' + b"9" * 5_000 + b"}", "too long"),
    (SINGLE, b'{"label": "x"}', "'image_url' is missing"),
    (SINGLE, b'{"image_url": "AmlDatastore://ds/a.txt"}', "'label' is missing"),
    (SINGLE, line("x", "https://host/a.txt"), "neither the form"),
    (SINGLE, line("x", "AmlDatastore://ds/"), "neither the form"),
    (SINGLE, line("x", "AmlDatastore://ds//a.txt"), "not the name of a blob"),
    (SINGLE, line("x", "AmlDatastore://ds/" + "a" * 1_025), "not the name of a blob"),
    (SINGLE, line("x", "AmlDatastore://ds/\ud800"), "not the name of a blob"),
    (SINGLE, line(["x"]), "not a text"),
    (SINGLE, line(None), "not a text"),
    (SINGLE, line(""), "1 to 50 characters"),
    (SINGLE, line("a" * 51), "1 to 50 characters"),
    (SINGLE, line("a\tb"), "control characters"),
    (SINGLE, line("x", label_confidence=1.5), "from 0 to 1"),
    (SINGLE, line("x", label_confidence=True), "from 0 to 1"),
    (SINGLE, line("x", label_confidence="1"), "from 0 to 1"),
    (MULTI, line("x,y", label_confidence=[0.9, 0.1]), "not one number for each"),
    (MULTI, line("x,y"), "not a list"),
    (MULTI, line(["x", 1]), "not a text"),
    (MULTI, line(["x", "x"]), "twice"),
    (MULTI, line(["x", "y"], label_confidence=[1.0]), "not one number for each"),
    (ENTITIES, line("x"), "not a list of entities"),
    (ENTITIES, line(["x"]), "not an object"),
    (ENTITIES, line([span(0, 0)]), "1 to 500"),
    (ENTITIES, line([span(5, 2)]), "1 to 500"),
    (ENTITIES, line([span(0, 501)]), "1 to 500"),
    (ENTITIES, line([span(-1, 2)]), "whole numbers"),
    (ENTITIES, line([span(1.5, 2)]), "whole numbers"),
    (ENTITIES, line([span(True, 2)]), "whole numbers"),
    (ENTITIES, line([span("1e2", 200)]), "whole numbers"),
    (ENTITIES, line([{"label": "x", "offsetStart": 1}]), "whole numbers"),
    (ENTITIES, line([span(1, 2), span(1, 2)]), "same entity twice"),
    (ENTITIES, line([span(0, 1, None)]), "not a text"),
]


@pytest.mark.parametrize(("kind", "raw", "reason"), BAD)
def test_a_bad_line_is_told_by_number_and_reason_and_stops_no_other(
    kind: ProjectKind, raw: bytes, reason: str
) -> None:
    good = {SINGLE: "x", MULTI: ["x"], ENTITIES: [span(0, 1)]}[kind]
    before, after = line(good, "AmlDatastore://ds/1.txt"), line(good, "AmlDatastore://ds/2.txt")
    first, bad, last = read([before + raw.rstrip() + b"\n" + after], kind)
    assert isinstance(first, AmlLine)
    assert isinstance(last, AmlLine)
    assert last.number == 3
    assert isinstance(bad, BadLine)
    assert bad.number == 2
    assert reason in bad.reason


def test_lines_of_another_datastore_are_bad_and_the_first_good_line_tells_which_is_meant() -> None:
    data = b"{}\n" + line("x", "AmlDatastore://ds/a.txt") + line("x", "AmlDatastore://other/b.txt")
    data += line("x", "AmlDatastore://DS/c.txt")
    kinds = [type(found) for found in read([data], SINGLE)]
    assert kinds == [BadLine, AmlLine, BadLine, AmlLine], "names of datastores are compared without case"
    assert [type(f) for f in read([data], SINGLE, "other")] == [BadLine, BadLine, AmlLine, BadLine]


def test_a_document_that_is_labeled_twice_is_bad_the_second_time() -> None:
    first, second = read([line("x") + line("y")], SINGLE)
    assert isinstance(first, AmlLine)
    assert isinstance(second, BadLine)
    assert "line 1" in second.reason


def test_an_endless_line_costs_no_memory_and_is_told() -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(9):
            yield b"x" * (MAX_LINE_BYTES // 4)
        yield b"\n" + line("x")

    bad, good = read(chunks(), SINGLE)
    assert isinstance(bad, BadLine)
    assert "longer than" in bad.reason
    assert isinstance(good, AmlLine)
    assert good.number == 2


@given(st.integers(1, 40))
async def test_where_the_stream_is_cut_does_not_matter(size: int) -> None:
    data = line("ä") + b"{bad\n" + line("y", LONG) + line("z", "AmlDatastore://ds/z.txt").rstrip()
    pieces = [data[i : i + size] for i in range(0, len(data), size)]

    async def stream() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    whole = list(read([data], SINGLE))
    assert len(whole) == 4
    assert list(read(pieces, SINGLE)) == whole
    assert [found async for found in read_stream(stream(), SINGLE)] == whole


TEXTS = st.text(st.sampled_from("ab \U0001f600é\n\r\U00010348"), min_size=1, max_size=40)


@st.composite
def entity_documents(draw: st.DrawFn) -> tuple[str, Labels]:
    text = draw(TEXTS)
    offsets = Offsets(text)
    cuts = draw(st.lists(st.tuples(st.integers(0, len(text) - 1), st.integers(1, 10)), max_size=5))
    spans = {offsets.span_to_utf16(a, min(n, len(text) - a)) for a, n in cuts}
    found = tuple(EntityLabel(draw(st.sampled_from(["PER", "Ä b"])), *s) for s in sorted(spans))
    return text, Labels(regions=(Region(0, offsets.utf16_length, found),))


@given(entity_documents())
def test_entities_come_back_as_they_were_written_in_both_units(document: tuple[str, Labels]) -> None:
    text, labels = document
    offsets = Offsets(text)
    for unit in (None, offsets):
        found = one(to_line("a/b.txt", labels, ENTITIES, "ds", unit), ENTITIES)
        assert isinstance(found, AmlLine)
        assert to_labels(found, ENTITIES, offsets.utf16_length, unit) == labels


def test_code_points_in_the_file_are_what_python_slices() -> None:
    text = "\U0001f600 Ada"
    labels = Labels(regions=(Region(0, 6, (EntityLabel("PER", 3, 3),)),))
    raw = json.loads(to_line("a.txt", labels, ENTITIES, "ds", Offsets(text)))
    start, end = raw["label"][0]["offsetStart"], raw["label"][0]["offsetEnd"]
    assert text[start:end] == "Ada"
    assert raw["label_confidence"] == [1.0]


@pytest.mark.parametrize(("kind", "names"), [(SINGLE, ("x",)), (MULTI, ("x", "y")), (MULTI, ())])
def test_classes_come_back_as_they_were_written(kind: ProjectKind, names: tuple[str, ...]) -> None:
    found = one(to_line("ü/b.txt", Labels(names), kind, "ds"), kind)
    assert isinstance(found, AmlLine)
    assert found.location == "ü/b.txt"
    assert to_labels(found, kind, 5) == Labels(names)


def test_an_entity_behind_the_end_of_the_text_does_not_fit() -> None:
    found = one(line([span(0, 6)]), ENTITIES)
    assert isinstance(found, AmlLine)
    assert "behind the end of the text (5)" in str(to_labels(found, ENTITIES, 5))
    assert "behind the end of the text (4)" in str(to_labels(found, ENTITIES, 7, Offsets("abc\U0001f600")))


def test_labeled_with_nothing_has_no_word_in_a_single_label_file() -> None:
    assert not can_be_written(Labels(), SINGLE)
    assert can_be_written(Labels(), MULTI)
    assert can_be_written(Labels(regions=(Region(0, 3),)), ENTITIES)
