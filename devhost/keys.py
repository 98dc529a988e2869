"""Access keys: which key is valid for what, and the response without it."""

from typing import Any

from devhost.server import Request, Response
from devhost.settings import HostError

UNAUTHORIZED = (("WWW-Authenticate", "Bearer"),)


class Keys:
    """The host's keys by name: `master`, `function`, one for each extension (`eventgrid_extension`,
    `blobs_extension`), and `system`, which is accepted for all extensions. HostError without the first two.
    """

    def __init__(self, keys: dict[str, Any]) -> None:
        if not {"master", "function"} <= keys.keys() or not all(
            isinstance(key, str) for key in keys.values()
        ):
            raise HostError("the keys file must have strings, including `master` and `function`")
        self._keys: dict[str, str] = {name: key.lower() for name, key in keys.items()}

    def opens_function(self, level: str, request: Request) -> bool:
        """Whether a request may call an HTTP function of a level: `anonymous`, `function` or `admin`."""
        return level == "anonymous" or self._names(request) & {"master", level} != set()

    def refusal(self, extension: str | None, request: Request) -> Response | None:
        """401 or 403 for a webhook of an extension, or for the host's own paths (None); None when allowed."""
        names = self._names(request)
        accepted = {"master"} if extension is None else {"master", "system", f"{extension}_extension"}
        if names & accepted:
            return None
        if names:
            return Response(403)
        if not _given(request) and request.headers.get("authorization", "").lower().startswith("bearer "):
            return Response(401, headers=(("WWW-Authenticate", 'Bearer error="invalid_token"'),))
        return Response(401, headers=UNAUTHORIZED)

    def _names(self, request: Request) -> set[str]:
        given = _given(request)
        return {name for name, key in self._keys.items() if given and key == given}


def _given(request: Request) -> str:
    """The key of a request: the header before the query, of two in the query the first. Keys ignore case."""
    values = [request.headers.get("x-functions-key", ""), *request.parameter("code")[:1]]
    return next((value.lower() for value in values if value), "")
