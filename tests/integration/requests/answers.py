"""What the tests of requests read in answers."""

import httpx

from shared.domain.document import document_id

#: The document of the project `sample` that has a suggestion.
A = document_id("a.txt")


def error(answer: httpx.Response) -> tuple[int, str, str | None]:
    """Status, code and target; the shape is Azure's."""
    body = answer.json()["error"]
    assert body["message"]
    return answer.status_code, body["code"], body.get("target")
