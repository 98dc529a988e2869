"""The part of the HTTP API that is measured."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import aiohttp
import httpx

from bench.server import KEY, Server

TOPIC = (
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/local"
    "/providers/Microsoft.Storage/storageAccounts/devstoreaccount1"
)
#: Each step of the bench has its own limit.
LIMIT_SECONDS = 3_600
KEY_HEADER, VERSION = "Ocp-Apim-Subscription-Key", {"api-version": "2023-04-15-preview"}
#: Polling takes at most a fifth of the time: for most polls, Azurite reads the whole table.
PAUSES = 4


class Api:
    """A client of one running product; use it in `async with api.client`."""

    def __init__(self, server: Server) -> None:
        self.projects = f"{server.base}/language/authoring/analyze-text/projects"
        self.root = server.base
        self.client = httpx.AsyncClient(
            headers={KEY_HEADER: KEY},
            params=VERSION,
            timeout=600,
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=64),
        )

    async def get(self, path: str, **query: Any) -> dict[str, Any]:
        answer = await self.client.get(f"{self.projects}/{path}", params=query)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    async def post(self, path: str, body: Any = None, **query: Any) -> httpx.Response:
        answer = await self.client.post(
            f"{self.projects}/{path}", json={} if body is None else body, params=query
        )
        if answer.is_error:
            raise RuntimeError(f"POST {path}: {answer.status_code} {answer.text[:300]}")
        return answer

    async def post_by(self, session: aiohttp.ClientSession, path: str, body: Any) -> dict[str, Any]:
        """As `post`, with the client of the raw calls, for a fair comparison: httpx takes five times its CPU."""
        async with session.post(
            f"{self.projects}/{path}", json=body, params=VERSION, headers={KEY_HEADER: KEY}
        ) as answer:
            answer.raise_for_status()
            found: dict[str, Any] = await answer.json()
            return found

    async def create(self, name: str, container: str, *, on_upload: bool = False) -> None:
        body = {
            "projectKind": "CustomSingleLabelClassification",
            "storageInputContainerName": container,
            "language": "en-us",
            "settings": {"autolabel": {"onUpload": on_upload}},
        }
        (await self.client.patch(f"{self.projects}/{name}", json=body)).raise_for_status()

    async def wait(self, accepted: httpx.Response, seconds: float = LIMIT_SECONDS) -> dict[str, Any]:
        """The state of a job when it has ended; raises if it did not succeed."""
        deadline = time.monotonic() + seconds
        while (asked := time.monotonic()) < deadline:
            state = (await self.client.get(accepted.headers["operation-location"], params=None)).json()
            if state["status"] not in {"notStarted", "running"}:
                if state["status"] != "succeeded":
                    raise RuntimeError(f"A job ended {state['status']}: {state.get('errors')}")
                return state
            await asyncio.sleep(max(0.05, PAUSES * (time.monotonic() - asked)))
        raise TimeoutError("A job did not end.")

    async def counts(self, name: str) -> dict[str, int]:
        counts: dict[str, int] = (await self.get(f"{name}/statistics"))["documents"]
        return counts

    async def until(self, name: str, status: str, count: int, seconds: float = LIMIT_SECONDS) -> None:
        """Wait until this many documents have the status."""
        deadline = time.monotonic() + seconds
        while (asked := time.monotonic()) < deadline:
            if (await self.counts(name))[status] >= count:
                return
            await asyncio.sleep(max(0.2, PAUSES * (time.monotonic() - asked)))
        raise TimeoutError(f"{await self.counts(name)}, not {count} {status}.")

    async def notify(self, container: str, names: list[str]) -> None:
        """Post BlobCreated events as Event Grid does."""
        events = [
            {
                "topic": TOPIC,
                "subject": f"/blobServices/default/containers/{container}/blobs/{name}",
                "eventType": "Microsoft.Storage.BlobCreated",
                "id": f"{container}-{name}",
                "eventTime": datetime.now(UTC).isoformat(),
                "data": {"api": "PutBlob", "contentType": "text/plain", "blobType": "BlockBlob", "url": ""},
                "dataVersion": "",
                "metadataVersion": "1",
            }
            for name in names
        ]
        answer = await self.client.post(
            f"{self.root}/runtime/webhooks/EventGrid",
            json=events,
            params={"functionName": "storage_event"},
            headers={"aeg-event-type": "Notification"},
        )
        answer.raise_for_status()
