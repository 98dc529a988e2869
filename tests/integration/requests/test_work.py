"""Saves of decisions and autolabel jobs that cannot be are refused at once, and name the field."""

from typing import Any

import pytest

from tests.integration.requests.answers import A, error
from tests.support.api import Json, Project


@pytest.mark.parametrize(
    ("decisions", "target"),
    [
        ([], "decisions"),
        ([{"documentId": A, "eTag": '"a.b"', "acceptAll": True}] * 10_000, "decisions"),
        ([{"documentId": A, "eTag": '"a.b"'}] * 2, "decisions[1].documentId"),
        ([{"eTag": '"a.b"'}], "decisions[0].documentId"),
        ([{"documentId": A}], "decisions[0].eTag"),
        ([{"documentId": A, "eTag": '"a.b"', "acceptall": True}], "decisions[0].acceptall"),
        ([{"documentId": A, "eTag": '"a.b"', "accept": "all"}], "decisions[0].accept"),
        ("all", "decisions"),
    ],
)
async def test_a_bad_save_names_the_decision(sample: Project, decisions: Any, target: str) -> None:
    answer = await sample.http.post(f"{sample.path}/documents/:review", json={"decisions": decisions})
    assert error(answer) == (400, "InvalidArgument", target)


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ({"engine": "no-such"}, "engine"),
        ({"categories": ["Refund", "Unknown"]}, "categories[1]"),
        ({"documents": ["not-an-id"]}, "documents[0]"),
        ({"documents": "all"}, "documents"),
        ({"dokuments": []}, "dokuments"),
        ({"modelLabel": "a b"}, "modelLabel"),
    ],
)
async def test_a_bad_autolabel_job_is_refused_at_once(sample: Project, body: Json, target: str) -> None:
    answer = await sample.http.post(f"{sample.path}/autolabel/jobs", json=body)
    assert error(answer) == (400, "InvalidArgument", target)
