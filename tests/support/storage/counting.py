"""Counts calls to storage, so that tests and benches can assert what a use case costs."""

from collections import Counter
from typing import Any, Literal, override

from shared.storage.gateways.clients import StorageClients

type Service = Literal["table", "blob", "queue"]
type Snapshot = dict[tuple[Service, str], int]


class CallCounter:
    """One count for each HTTP request; a request that is sent again after a failure counts once."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[Service, str]] = Counter()

    def add(self, service: Service, operation: str) -> None:
        """Count one request."""
        self._counts[service, operation] += 1

    @property
    def total(self) -> int:
        """All requests so far."""
        return self._counts.total()

    def snapshot(self) -> Snapshot:
        """The counts so far, to be passed to `since`."""
        return dict(self._counts)

    def since(self, snapshot: Snapshot) -> Snapshot:
        """What was counted after `snapshot` was taken; operations that were not called are left out."""
        return dict(self._counts - Counter(snapshot))


class CountingClients(StorageClients):
    """Clients of an account whose requests are counted."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.counter = CallCounter()

    @override
    def _transport(self) -> Any:
        return self._counted(super()._transport())

    @override
    def _rest_transport(self) -> Any:
        return self._counted(super()._rest_transport())

    def _counted(self, inner: Any) -> Any:
        send, counter = inner.send, self.counter

        async def counted(request: Any, **options: Any) -> Any:
            if not hasattr(request, "counted"):
                request.counted = True
                service = self._service(request.url)
                counter.add(service, _operation(service, request))
            return await send(request, **options)

        inner.send = counted
        return inner

    def _service(self, url: str) -> Service:
        if url.startswith(self.account.table_endpoint):
            return "table"
        return "blob" if url.startswith(self.account.blob_endpoint) else "queue"


def _operation(service: Service, request: Any) -> str:
    """The operation of the port that a request belongs to."""
    method, url, query = request.method, request.url, request.query
    if service == "queue":
        return "send" if method == "POST" else "create"
    return _of_table(method, url) if service == "table" else _of_blob(method, query, request.headers)


def _of_table(method: str, url: str) -> str:
    if method == "GET":
        return "get" if "(PartitionKey=" in url else "query"
    if "/Tables" in url:
        return "drop" if method == "DELETE" else "create"
    return "commit"


def _of_blob(method: str, query: dict[str, str], headers: dict[str, str]) -> str:
    match query.get("restype"), query.get("comp"), method:
        case "container", "list", _:
            return "list"
        case "container", _, "PUT":
            return "create_container"
        case "container", _, _:
            return "container_exists"
        case _, "list", _:
            return "list_containers"
        case _, "lease", _:
            return f"{headers['x-ms-lease-action']}_lease"
        case _, "block", _:
            return "stage"
        case _:
            return {"GET": "read", "HEAD": "stat", "PUT": "write", "DELETE": "delete"}[method]
