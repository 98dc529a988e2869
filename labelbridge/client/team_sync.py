"""The synchronous client, made from `team_aio.py` by `python -m scripts.unasync`; do not change it."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypedDict, cast

from labelbridge.client import models as m
from labelbridge.client.checks import Turns, checked

if TYPE_CHECKING:
    from labelbridge.client.sync import Client


class _Assignments(TypedDict):
    value: list[m.Assignment]


class _BlindDocument(m.Labels):
    id: str
    location: str
    text: str


class TeamOperations:
    """The part of a project's client for progress by person and day, for assignments and second reviews."""

    client: "Client"
    path: str

    def _get[T](self, rest: str, kind: type[T], **params: Any) -> T:
        raise NotImplementedError

    def _post[T](self, rest: str, kind: type[T], body: Any = None, key: str | None = None) -> T:
        raise NotImplementedError

    def progress(self, *, from_date: str | None = None, to_date: str | None = None) -> list[m.Work]:
        """What each person did on each day of UTC, the newest first; by default, in the last 30 days.

        Dates are ISO 8601, both included. The server counts a bounded part of what is new in each request: this asks
        until all is counted.
        """
        found: list[m.Work] = []
        turns, path = Turns(), f"{self.path}/progress"
        asked = {"fromDate": from_date, "toDate": to_date, "continuationToken": None}
        while True:
            response = self.client.call("GET", path, params=asked)
            answer = checked(response, m.ProgressAnswer)
            if answer.get("complete", True):
                found += answer["value"]
                token = answer.get("continuationToken")
                if token is None:
                    return found
                turns.go_on(response, token, answer["value"])
            else:
                found, token = [], None
                turns.count_again(response)
            asked["continuationToken"] = token

    def assign(self, body: m.AssignBody, *, key: str | None = None) -> m.AssignAnswer:
        """Assign the first documents of a filter, at most 1,000, to a person; `assignee` `@none`: to nobody."""
        return self._post("/documents/:assign", m.AssignAnswer, body, key)

    def assignments(self) -> list[m.Assignment]:
        """How many documents each person has, by status; `assignee` None: those of nobody."""
        return self._get("/assignments", _Assignments)["value"]

    def second_review(self, body: m.SecondReviewBody, *, key: str | None = None) -> m.SecondReview:
        """Have a sample of labeled documents labeled again by a person who sees nothing of the first."""
        return self._post("/second-reviews", m.SecondReview, body, key)

    def second_reviews(self) -> Iterator[m.SecondReview]:
        return self.client.pages(f"{self.path}/second-reviews", m.SecondReview)

    def blind_documents(self, review_id: str) -> Iterator[m.BlindItem]:
        """The documents of a second review, without labels."""
        return self.client.pages(f"{self.path}/second-reviews/{review_id}/documents", m.BlindItem)

    def blind_document(self, review_id: str, document_id: str) -> dict[str, Any]:
        """Name and text of a document, and the labels of the second person, for that person only."""
        path = f"/second-reviews/{review_id}/documents/{document_id}"
        return cast("dict[str, Any]", self._get(path, _BlindDocument))

    def set_blind_labels(self, review_id: str, document_id: str, labels: Mapping[str, Any]) -> None:
        """Set the labels of the second person; those of the document stay."""
        path = f"{self.path}/second-reviews/{review_id}/documents/{document_id}/labels"
        self.client.call("PUT", path, body=labels)

    def agreement(self, review_id: str) -> m.AgreementAnswer:
        """The agreement on the documents that both labeled. Not for the second person."""
        return self._get(f"/second-reviews/{review_id}/agreement", m.AgreementAnswer)

    def disagreements(self, review_id: str) -> Iterator[m.Disagreement]:
        return self.client.pages(f"{self.path}/second-reviews/{review_id}/disagreements", m.Disagreement)

    def resolve(self, review_id: str, document: m.Document, body: m.ResolveBody) -> m.Document:
        """Make the first, the second or other labels those of the document, as it was read."""
        path = f"{self.path}/second-reviews/{review_id}/documents/{document['id']}/:resolve"
        match = {"If-Match": document["eTag"]}
        return checked(self.client.call("POST", path, body=body, headers=match), m.Document)

    def reopen(self, review_id: str, document_id: str) -> m.Document:
        """Undo a resolution."""
        path = f"/second-reviews/{review_id}/documents/{document_id}/:reopen"
        return self._post(path, m.Document)
