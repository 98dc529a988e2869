"""Full-text search: what it finds, and that it says how much it searched."""

from typing import Any

import pytest

from tests.integration.conftest import MakeProject
from tests.integration.requests.answers import error
from tests.support.api import Json, Project


async def search(project: Project, text: str, **body: Any) -> Json:
    answer = await project.http.post(f"{project.path}/documents/:search", json={"text": text, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def names(answer: Json) -> list[str]:
    return sorted(found["document"]["location"] for found in answer["value"])


async def test_texts_are_searched_with_the_filters_of_the_list(new_project: MakeProject) -> None:
    project = await new_project()
    await project.upload(
        {"broken.txt": b"\xff\xfe\x00", "long.txt": "x" * 100 + " The  Refund\nplease " + "y" * 100}
    )
    await project.suggested(
        {"a/1.txt": "@Refund:60 money back, money 🦊", "b/2.txt": "🦊 Money\r\n back @Refund:90"}, "Refund"
    )

    answer = await search(project, "money back")
    assert names(answer) == ["a/1.txt", "b/2.txt"]
    assert {name: answer[name] for name in ("searched", "unread", "total")} == {
        "searched": 5, "unread": 1, "total": 5,
    }  # fmt: skip
    assert "continuationToken" not in answer
    found = {match["document"]["location"]: match for match in answer["value"]}
    second = found["b/2.txt"]
    assert (second["offset"], second["length"], second["matches"]) == (3, 12, 1)
    context = second["context"]
    assert context == {"text": "🦊 Money   back @Refund:90", "offset": 3, "length": 12}
    assert found["a/1.txt"]["document"] == await project.document("a/1.txt")

    assert names(await search(project, "Money", matchCase=True)) == ["b/2.txt"]
    assert [m["matches"] for m in (await search(project, "money", locationPrefix="a/"))["value"]] == [2]
    assert names(await search(project, "money", minConfidence=0.7)) == ["b/2.txt"]
    assert names(await search(project, "money", status="labeled")) == []
    assert (await search(project, "money", status="labeled"))["searched"] == 1
    [long] = (await search(project, "the refund please"))["value"]
    assert long["context"]["text"] == "x" * 39 + " The  Refund please " + "y" * 39
    assert long["offset"] == 101
    assert names(await search(project, ".*")) == []


async def test_a_page_of_matches_is_followed_by_the_others(new_project: MakeProject) -> None:
    project = await new_project()
    await project.upload({f"{n}.txt": f"needle {n}" if n % 2 else "hay" for n in range(9)})
    await project.scan()
    for orderby in ("id", "location", "uncertainty"):
        whole = (await search(project, "needle", orderby=orderby))["value"]
        found: list[Json] = []
        token: Json = {}
        searched: list[int] = []
        while True:
            answer = await search(project, "needle", orderby=orderby, top=1, **token)
            found += answer["value"]
            searched.append(answer["searched"])
            assert answer["total"] == 9
            if "continuationToken" not in answer:
                break
            token = {"continuationToken": answer["continuationToken"]}
        assert (found, len(whole)) == (whole, 4)
        assert searched == sorted(searched)
        assert searched[-1] == 9
        other = await project.http.post(
            f"{project.path}/documents/:search", json={"text": "other", "orderby": orderby, **token}
        )
        assert error(other) == (400, "InvalidArgument", "continuationToken")


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ({}, "text"),
        ({"text": ""}, "text"),
        ({"text": " \n"}, "text"),
        ({"text": "x" * 201}, "text"),
        ({"text": "x", "top": 101}, "top"),
        ({"text": "x", "status": "done"}, "status"),
        ({"text": "x", "minConfidence": 0.9, "maxConfidence": 0.1}, "minConfidence"),
        ({"text": "x", "continuationToken": "AAAA"}, "continuationToken"),
        ({"text": "x", "regex": True}, "regex"),
    ],
)
async def test_a_bad_search_names_the_field(sample: Project, body: Json, target: str) -> None:
    answer = await sample.http.post(f"{sample.path}/documents/:search", json=body)
    assert error(answer) == (400, "InvalidArgument", target)
