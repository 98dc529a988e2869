"""The HTTP API as tests call it, and a project with its container."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from shared.domain.document import document_id
from shared.storage.gateways.ports import Blobs
from tests.support.waiting import eventually

VERSION = "2023-04-15-preview"
PROJECTS = "/language/authoring/analyze-text/projects"
SINGLE = "CustomSingleLabelClassification"
MULTI = "CustomMultiLabelClassification"
ENTITIES = "CustomEntityRecognition"
ENDED = {"succeeded", "partiallyCompleted", "failed", "cancelled"}

type Json = dict[str, Any]


def client(
    url: str, key: str | None = "labelbridge-local", version: str | None = VERSION
) -> httpx.AsyncClient:
    """A client that sends the key and the api-version with every request."""
    return httpx.AsyncClient(
        base_url=url,
        headers={"Ocp-Apim-Subscription-Key": key} if key else {},
        params={"api-version": version} if version else {},
        timeout=60,
        verify=False,  # plain HTTP: nothing to verify, and certificates take their time to load
    )


@dataclass(frozen=True)
class Project:
    """One project of one test; its container holds nothing of any other."""

    http: httpx.AsyncClient
    blobs: Blobs
    name: str
    container: str
    kind: str = SINGLE

    @property
    def path(self) -> str:
        return f"{PROJECTS}/{self.name}"

    async def create(self, **more: Any) -> Json:
        """Make the project; by default uploads are registered and not labeled."""
        body = {
            "projectKind": self.kind,
            "storageInputContainerName": self.container,
            "language": "en-us",
            "multilingual": False,
            "settings": {"autolabel": {"onUpload": False}},
        }
        answer = await self.http.patch(self.path, json=body | more)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def upload(self, texts: Mapping[str, str | bytes]) -> None:
        """Write blobs."""
        for name, text in texts.items():
            await self.blobs.write(
                self.container,
                name,
                text if isinstance(text, bytes) else text.encode(),
                content_type="text/plain",
            )

    async def get(self, rest: str, **query: Any) -> Json:
        answer = await self.http.get(f"{self.path}{rest}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def document(self, location: str) -> Json:
        return await self.get(f"/documents/{document_id(location)}")

    async def documents(self, **query: Any) -> list[Json]:
        """All documents of the query, through all its pages."""
        found: list[Json] = []
        token: Json = {}
        while True:
            page = await self.get("/documents", **query, **token)
            found += page["value"]
            if "continuationToken" not in page:
                return found
            token = {"continuationToken": page["continuationToken"]}

    async def registered(self, count: int, seconds: float = 120) -> list[Json]:
        """The documents, as soon as there are so many."""

        async def look() -> list[Json] | None:
            found = await self.documents(top=1000)
            return found if len(found) >= count else None

        return await eventually(f"{count} documents in {self.name}", look, seconds)

    async def scan(self) -> Json:
        """Compare the container with the pages, to the end."""
        answer = await self.http.post(f"{self.path}/documents/:scan")
        assert answer.status_code == 202, answer.text
        return await self.ended(answer.headers["operation-location"])

    async def ended(self, url: str, seconds: float = 120) -> Json:
        """The state of a job when it has ended."""

        async def look() -> Json | None:
            answer = await self.http.get(url)
            assert answer.status_code == 200, answer.text
            return answer.json() if answer.json()["status"] in ENDED else None

        return await eventually(f"the end of {url}", look, seconds)

    async def put_labels(self, location: str, labels: Json, etag: str = "*") -> Json:
        url = f"{self.path}/documents/{document_id(location)}/labels"
        answer = await self.http.put(url, json=labels, headers={"If-Match": etag})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def autolabel(self, **body: Any) -> Json:
        """Run an autolabel job to its end."""
        answer = await self.http.post(f"{self.path}/autolabel/jobs", json=body)
        assert answer.status_code == 202, answer.text
        return await self.ended(answer.headers["operation-location"])

    async def review(self, decisions: Sequence[Json], **headers: str) -> list[Json]:
        answer = await self.http.post(
            f"{self.path}/documents/:review", json={"decisions": list(decisions)}, headers=headers
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["results"]

    async def define(self, *categories: str) -> None:
        """Make categories known: by labeling a document of its own by hand."""
        await self.upload({f"~{c}.txt": f"This one is {c}." for c in categories})
        await self.scan()
        for category in categories:
            await self.put_labels(f"~{category}.txt", label(self.kind, category))

    async def suggested(self, texts: Mapping[str, str], *categories: str) -> list[Json]:
        """Documents with suggestions, as the scripted engine reads them off their texts."""
        await self.upload(texts)
        await self.define(*categories)  # the scan finds the texts too
        job = await self.autolabel()
        assert job["status"] == "succeeded", job
        return await self.documents(status="autoLabeled")


def label(kind: str, category: str) -> Json:
    """The body that sets one label, in the form of the kind."""
    if kind == SINGLE:
        return {"class": {"category": category}}
    if kind == MULTI:
        return {"classes": [{"category": category}]}
    entity = {"category": category, "offset": 0, "length": 4}
    return {"entities": [{"regionOffset": 0, "regionLength": 4, "labels": [entity]}]}


def accept(document: Json, **more: Any) -> Json:
    """The decision to accept all suggestions of a document as it was read."""
    return {"documentId": document["id"], "eTag": document["eTag"], "acceptAll": True} | more


def unique(word: str) -> str:
    return f"{word}-{uuid4().hex[:12]}"
