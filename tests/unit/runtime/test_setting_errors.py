"""What is said of settings that are not the JSON that they must be."""

import pytest

from shared.runtime.setting_errors import SHAPES
from shared.runtime.settings import Settings, read_settings

STORAGE = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}
WEBHOOKS = 'a list, as in [{"name": "crm", "url": "https://hooks.example.com/labels", "secret": "crm"}].'
VALUE = "a value must be text in double quotation marks, a number, true, false, a list or an object"


def said_of(name: str, value: str) -> list[str]:
    return read_settings(STORAGE | {name: value})[1]


@pytest.mark.parametrize(
    ("value", "place", "why"),
    [
        ("sekret", "line 1, column 1", VALUE),
        ("[sekret", "line 1, column 2", VALUE),
        ("['sekret']", "line 1, column 2", VALUE),
        ("[\u201csekret\u201d]", "line 1, column 2", VALUE),
        ("[nil]", "line 1, column 3", VALUE),
        ('["Ñandú 😀", x]', "line 1, column 13", VALUE),
        ('["😀",\n "Ñandú 😀", x]', "line 2, column 13", VALUE),
        ('["Ñandú 😀', "line 1, column 9", "it ends too early"),
        ("[", "line 1, column 1", "it ends too early"),
        ('[{"name": "sekret', "line 1, column 17", "it ends too early"),
        ("[\n  {name: 1}]", "line 2, column 4", "a name must be in double quotation marks"),
        ("[\n  {'name': 1}]", "line 2, column 4", "a name must be in double quotation marks"),
        ('["sekret",]', "line 1, column 11", "after a comma, something must follow"),
        ("[] sekret", "line 1, column 4", "something follows after its end"),
        ('[{"name" "sekret"}]', "line 1, column 10", "a colon must follow a name"),
        ('["sekret" "b"]', "line 1, column 11", "a comma or the closing bracket is missing"),
        ('[{"a": 1 "b"}]', "line 1, column 10", "a comma or the closing bracket is missing"),
        ('["sek\nret"]', "the end of line 1", "text has a line break or another control character"),
        ('["sek\tret"]', "line 1, column 6", "text has a line break or another control character"),
        ("[01]", "line 1, column 3", "a number has another form than in JSON"),
        (
            r'["C:\sekret"]',
            "line 1, column 6",
            "after a backslash in text, only certain characters may follow",
        ),
        ("[" * 300, "line 1, column 202", ""),
    ],
)
def test_what_is_not_json_has_its_place_the_reason_and_the_form(value: str, place: str, why: str) -> None:
    where = f"{place}: {why}" if why else place
    said = f"WEBHOOKS is not valid JSON at {where}. It must be {WEBHOOKS}"
    assert said_of("WEBHOOKS", value) == [said]


@pytest.mark.parametrize("value", ["{}", '"sekret"', "null", "5"])
def test_json_of_another_form(value: str) -> None:
    assert said_of("WEBHOOKS", value) == [f"WEBHOOKS must be {WEBHOOKS}"]


def test_text_that_no_file_could_hold() -> None:
    assert said_of("WEBHOOKS", '["\ud83d"]') == ["WEBHOOKS must be valid Unicode."]


def example(name: str) -> str:
    return SHAPES[name].partition(", as in ")[2].replace("64 hexadecimal digits", "a" * 64)


def test_each_setting_that_is_json_has_a_valid_example() -> None:
    found = {name: said_of(name.upper(), "[") for name in Settings.model_fields}
    assert {name for name, said in found.items() if any("JSON" in text for text in said)} == set(SHAPES)
    for name in map(str, SHAPES):
        others = ("webhook_hosts", "webhook_secrets") if name == "webhooks" else ()
        given = {each.upper(): example(each) for each in (name, *others)}
        assert read_settings(STORAGE | given)[1] == []
