"""Callers and their roles: access keys, Entra ID bearer tokens, the principal of App Service authentication."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from shared.domain.errors import Unauthorized
from shared.runtime.settings import Settings

KEY_HEADER = "ocp-apim-subscription-key"
PRINCIPAL_HEADER = "x-ms-client-principal"
LEEWAY_SECONDS = 60


class Role(StrEnum):
    """Roles of callers. Every role may read; nothing else is implied."""

    READ = "Labels.Read"
    REVIEW = "Labels.Review"
    WRITE = "Projects.Write"
    OWN = "Projects.Own"
    SWITCH = "Labeling.Switch"


class Access(StrEnum):
    """Operations that need no particular role."""

    ANONYMOUS = "anonymous"
    SIGNED_IN = "signedIn"


type Permission = Role | Access


def allowed(roles: frozenset[str], permission: Permission) -> bool:
    """Whether a signed-in caller with these roles may do it."""
    if isinstance(permission, Access):
        return True
    known = roles & {*Role, "*"}
    return "*" in known or permission in known or (permission is Role.READ and bool(known))


@dataclass(frozen=True, slots=True)
class Caller:
    """A signed-in caller. `token` is the bearer token, where there is one, to ask other services on its behalf."""

    name: str
    roles: frozenset[str]
    token: str | None = None


class Authenticator:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = [
            (bytes.fromhex(k.sha256), Caller(k.name, frozenset(k.roles))) for k in settings.api_keys
        ]
        self._tokens = _Tokens(settings) if settings.auth_mode != "local" else None

    async def identify(self, headers: Mapping[str, str]) -> Caller:
        """The caller, from headers with names in lower case. Raises Unauthorized."""
        key = headers.get(KEY_HEADER)
        if key is not None:
            return self._by_key(key)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._tokens is not None:
            return await self._tokens.caller(token.strip())
        principal = headers.get(PRINCIPAL_HEADER)
        if principal is not None and self._settings.auth_mode == "easyauth":
            return _principal(principal)
        ways = "the header Ocp-Apim-Subscription-Key" + (
            "" if self._tokens is None else " or a bearer token of Entra ID"
        )
        raise Unauthorized(f"The request has no credentials; send {ways}.")

    def _by_key(self, key: str) -> Caller:
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        found: Caller | None = None
        for known, caller in self._keys:  # all of them, so that the time tells nothing
            if hmac.compare_digest(digest, known):
                found = caller
        if found is None:
            raise Unauthorized("The key in Ocp-Apim-Subscription-Key is invalid.")
        return found


class _Tokens:
    """Validates tokens against the tenant's published keys: RS256, exact issuer, audience, tenant, times."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Any = None

    async def caller(self, token: str) -> Caller:
        import jwt

        if not self._settings.entra_tenant_id or not self._settings.entra_audience:
            raise Unauthorized("Bearer tokens are not set up; set ENTRA_TENANT_ID and ENTRA_AUDIENCE.")
        try:
            claims = await asyncio.to_thread(self._claims, token)
        except jwt.PyJWTError as error:
            raise Unauthorized(f"The bearer token is invalid: {type(error).__name__}.") from error
        roles: Any = claims.get("roles")
        name = claims.get("preferred_username") or claims.get("oid") or claims.get("sub")
        return Caller(
            str(name),
            frozenset(map(str, cast("list[Any]", roles))) if isinstance(roles, list) else frozenset(),
            token,
        )

    def _claims(self, token: str) -> dict[str, Any]:
        import jwt

        settings = self._settings
        authority = f"{settings.entra_authority.rstrip('/')}/{settings.entra_tenant_id}"
        if self._client is None:
            self._client = jwt.PyJWKClient(f"{authority}/discovery/v2.0/keys", cache_keys=True, lifespan=3600)
        key = self._client.get_signing_key_from_jwt(token)
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=["RS256"],
            audience=settings.entra_audience,
            issuer=f"{authority}/v2.0",
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud", "tid"]},
        )
        if claims.get("tid") != settings.entra_tenant_id:
            raise jwt.InvalidTokenError("tid")
        return claims


def _principal(header: str) -> Caller:
    """The principal that App Service authentication adds; the platform removes such a header sent by a caller."""
    try:
        data = json.loads(base64.b64decode(header, validate=True))
        claims = [(c["typ"], c["val"]) for c in data["claims"]]
    except (ValueError, KeyError, TypeError) as error:
        raise Unauthorized("The header X-MS-CLIENT-PRINCIPAL cannot be read.") from error
    role_type, name_type = data.get("role_typ", "roles"), data.get("name_typ", "name")
    roles = frozenset(str(value) for kind, value in claims if kind in {role_type, "roles"})
    name = next(
        (str(value) for kind, value in claims if kind in {name_type, "preferred_username"}), "unknown"
    )
    return Caller(name, roles)
