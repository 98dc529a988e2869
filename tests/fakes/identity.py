"""The endpoint that App Service and Functions give an app for tokens of its managed identity, as documented.

GET {IDENTITY_ENDPOINT}?api-version=2019-08-01&resource=...   header X-IDENTITY-HEADER: {IDENTITY_HEADER}
"""

import time
from collections.abc import Callable

from aiohttp import web

HEADER = "853b9a84-5bfa-4b22-a3f3-0b9a43d9ad8a"
TOKEN = "token-of-the-identity"


class FakeIdentity:
    """`asked`: the resources that tokens were asked for, `clients` the user-assigned identities; "" the app's own one.

    `token` makes the token for a resource.
    """

    def __init__(self, token: Callable[[str], str] = lambda _: TOKEN) -> None:
        self.asked: list[str] = []
        self.clients: list[str] = []
        self._made = token

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/msi/token", self._token)
        return app

    async def _token(self, request: web.Request) -> web.Response:
        if request.headers.get("X-IDENTITY-HEADER") != HEADER:
            return web.json_response({"statusCode": 401, "message": "Wrong header."}, status=401)
        if request.query.get("api-version") != "2019-08-01" or not request.query.get("resource"):
            return web.json_response({"statusCode": 400, "message": "Wrong query."}, status=400)
        self.asked.append(request.query["resource"])
        self.clients.append(request.query.get("client_id", ""))
        answer = {
            "access_token": self._made(request.query["resource"]),
            "client_id": "5e29463d-71da-4fe0-8e69-999b57db23b0",
            "expires_on": str(int(time.time()) + 86_400),
            "resource": request.query["resource"],
            "token_type": "Bearer",
        }
        return web.json_response(answer)
