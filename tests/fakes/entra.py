"""A tenant of Entra ID: OpenID configuration, keys, and signed tokens with whatever claims a test wants."""

import json
import time
from types import TracebackType
from typing import Any

import jwt
from aiohttp import web
from azure.core.credentials import AccessToken
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

TENANT = "11111111-1111-1111-1111-111111111111"
AUDIENCE = "api://labelbridge"


class FakeEntra:
    """`issuer` is set when it is served. `keys` are those it publishes; `rotate` takes another one."""

    def __init__(self, tenant: str = TENANT) -> None:
        self.tenant = tenant
        self.address = ""
        self._keys: dict[str, rsa.RSAPrivateKey] = {}
        self._current = ""
        #: Scopes asked for on behalf of someone: (assertion, scope).
        self.exchanges: list[tuple[str, str]] = []
        self.rotate("key-1")

    @property
    def issuer(self) -> str:
        return f"{self.address}/{self.tenant}/v2.0"

    def rotate(self, kid: str, *, keep: bool = False) -> None:
        """Sign with a new key; the old ones are published on only with `keep`."""
        if not keep:
            self._keys.clear()
        self._keys[kid] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._current = kid

    def token(self, *, lasts: int = 3600, kid: str | None = None, **claims: Any) -> str:
        """A token of this tenant; a claim given as None is left out."""
        now = int(time.time())
        payload: dict[str, Any] = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "tid": self.tenant,
            "oid": "22222222-2222-2222-2222-222222222222",
            "sub": "subject",
            "ver": "2.0",
            "iat": now,
            "nbf": now,
            "exp": now + lasts,
            "roles": [],
        }
        payload = {key: value for key, value in {**payload, **claims}.items() if value is not None}
        key = self._keys[self._current]
        return jwt.encode(payload, key, algorithm="RS256", headers={"kid": kid or self._current})

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/{tenant}/v2.0/.well-known/openid-configuration", self._configuration)
        app.router.add_get("/{tenant}/discovery/v2.0/keys", self._published)
        app.router.add_post("/{tenant}/oauth2/v2.0/token", self._exchange)
        return app

    async def _configuration(self, request: web.Request) -> web.Response:
        base = f"{self.address}/{self.tenant}"
        return web.json_response(
            {
                "issuer": self.issuer,
                "jwks_uri": f"{base}/discovery/v2.0/keys",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    async def _published(self, request: web.Request) -> web.Response:
        keys = [
            {**json.loads(RSAAlgorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig", "alg": "RS256"}
            for kid, key in self._keys.items()
        ]
        return web.json_response({"keys": keys})

    async def _exchange(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.exchanges.append((str(form.get("assertion", "")), str(form.get("scope", ""))))
        token = self.token(aud="https://management.azure.com", grant=str(form.get("grant_type", "")))
        return web.json_response({"token_type": "Bearer", "expires_in": 3600, "access_token": token})


class StaticToken:
    """A credential that always gives this token."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken(self._token, int(time.time()) + 3600)

    async def close(self) -> None: ...

    async def __aenter__(self) -> "StaticToken":
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None: ...
