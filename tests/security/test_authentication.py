"""Authentication: keys, tokens of the right tenant, and the platform's principal if it is trusted."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import jwt
import pytest
from pydantic import ValidationError

from shared.domain.errors import Unauthorized
from shared.runtime.auth import Authenticator
from shared.runtime.settings import read_settings
from tests.fakes.entra import AUDIENCE, TENANT, FakeEntra
from tests.fakes.server import serve
from tests.support.hosts import api_keys
from tests.support.services import settings

type Claims = dict[str, Any]


@pytest.fixture
async def entra() -> AsyncIterator[FakeEntra]:
    fake = FakeEntra()
    async with serve(fake.app()) as address:
        fake.address = address
        yield fake


@pytest.fixture
def authenticator(entra: FakeEntra) -> Authenticator:
    return Authenticator(
        settings(
            entra_tenant_id=TENANT,
            entra_audience=AUDIENCE,
            entra_authority=entra.address,
            api_keys=api_keys(),
        )
    )


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_a_token_of_the_tenant_is_its_caller(entra: FakeEntra, authenticator: Authenticator) -> None:
    token = entra.token(roles=["Labels.Review"], preferred_username="ann@example.org")

    caller = await authenticator.identify(bearer(token))

    assert (caller.name, caller.roles, caller.token) == ("ann@example.org", {"Labels.Review"}, token)


async def test_a_key_works_beside_tokens_and_wins(entra: FakeEntra, authenticator: Authenticator) -> None:
    caller = await authenticator.identify(
        {"ocp-apim-subscription-key": "reader", **bearer(entra.token(roles=["Projects.Own"]))}
    )
    assert (caller.name, caller.roles) == ("reader", {"Labels.Read"})


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://login.microsoftonline.com/other/v2.0"},
        {"iss": None},
        {"aud": "api://other"},
        {"aud": None},
        {"tid": "99999999-9999-9999-9999-999999999999"},
        {"tid": None},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"nbf": 4_000_000_000},
    ],
    ids=str,
)
async def test_a_token_with_a_wrong_claim_is_refused(
    entra: FakeEntra, authenticator: Authenticator, claims: Claims
) -> None:
    with pytest.raises(Unauthorized):
        await authenticator.identify(bearer(entra.token(roles=["Projects.Own"], **claims)))


async def test_a_token_signed_by_someone_else_is_refused(
    entra: FakeEntra, authenticator: Authenticator
) -> None:
    stranger = FakeEntra()
    stranger.address = entra.address
    with pytest.raises(Unauthorized):
        await authenticator.identify(bearer(stranger.token(roles=["Projects.Own"], kid="key-1")))


def _none(entra: FakeEntra) -> str:
    payload = jwt.decode(entra.token(roles=["*"]), options={"verify_signature": False})
    return jwt.encode(payload, "", algorithm="none", headers={"kid": "key-1"})


def _public_key_as_secret(entra: FakeEntra) -> str:
    """HS256 with the published key as the secret: the confusion that a fixed algorithm prevents."""
    payload = jwt.decode(entra.token(roles=["*"]), options={"verify_signature": False})
    key = json.dumps({"kid": "key-1"}).encode()
    return _hs256({"alg": "HS256", "typ": "JWT", "kid": "key-1"}, payload, key)


def _hs256(header: Claims, payload: Claims, key: bytes) -> str:
    parts = [
        base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=") for claims in (header, payload)
    ]
    signed = b".".join(parts)
    signature = base64.urlsafe_b64encode(hmac.digest(key, signed, hashlib.sha256)).rstrip(b"=")
    return (signed + b"." + signature).decode()


def _tampered(entra: FakeEntra) -> str:
    head, body, signature = entra.token(roles=[]).split(".")
    payload = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = base64.urlsafe_b64encode(json.dumps(payload | {"roles": ["*"]}).encode()).rstrip(b"=").decode()
    return f"{head}.{forged}.{signature}"


@pytest.mark.parametrize(
    "make",
    [_none, _public_key_as_secret, _tampered, lambda _: "", lambda _: "a.b.c", lambda _: "x" * 10_000],
    ids=["alg none", "HS256", "tampered", "empty", "no token", "long"],
)
async def test_a_forged_token_is_refused(
    entra: FakeEntra, authenticator: Authenticator, make: Callable[[FakeEntra], str]
) -> None:
    with pytest.raises(Unauthorized):
        await authenticator.identify(bearer(make(entra)))


async def test_a_token_is_valid_after_the_keys_were_rotated(
    entra: FakeEntra, authenticator: Authenticator
) -> None:
    await authenticator.identify(bearer(entra.token()))
    tokens: Any = vars(authenticator)["_tokens"]
    vars(tokens)["_client"].cooldown_duration = 0  # half a minute, so that strangers cannot make us fetch
    entra.rotate("key-2")
    assert (await authenticator.identify(bearer(entra.token(roles=["Labels.Read"])))).roles == {"Labels.Read"}


async def test_roles_that_are_no_list_are_none(entra: FakeEntra, authenticator: Authenticator) -> None:
    assert (await authenticator.identify(bearer(entra.token(roles="*")))).roles == frozenset()


async def test_the_principal_header_is_ignored_unless_the_platform_signs_people_in(
    authenticator: Authenticator,
) -> None:
    with pytest.raises(Unauthorized):
        await authenticator.identify({"x-ms-client-principal": principal("*")})


def principal(*roles: str) -> str:
    claims = [{"typ": "roles", "val": role} for role in roles]
    claims += [{"typ": "preferred_username", "val": "ann@example.org"}]
    return base64.b64encode(json.dumps({"auth_typ": "aad", "claims": claims}).encode()).decode()


async def test_the_platforms_principal_is_a_caller_in_easyauth_mode() -> None:
    easyauth = Authenticator(settings(auth_mode="easyauth"))
    caller = await easyauth.identify({"x-ms-client-principal": principal("Labels.Review")})
    assert (caller.name, caller.roles) == ("ann@example.org", {"Labels.Review"})


@pytest.mark.parametrize("header", ["", "!", "e30=", "W10=", "bnVsbA==", base64.b64encode(b"\xff").decode()])
async def test_a_principal_that_cannot_be_read_is_refused(header: str) -> None:
    easyauth = Authenticator(settings(auth_mode="easyauth"))
    with pytest.raises(Unauthorized):
        await easyauth.identify({"x-ms-client-principal": header})


async def test_bearer_tokens_mean_nothing_in_local_mode(entra: FakeEntra) -> None:
    local = Authenticator(
        settings(
            auth_mode="local",
            entra_tenant_id=TENANT,
            entra_audience=AUDIENCE,
            entra_authority=entra.address,
        )
    )
    with pytest.raises(Unauthorized):
        await local.identify(bearer(entra.token(roles=["*"])))


async def test_tokens_without_a_tenant_setting_are_refused(entra: FakeEntra) -> None:
    unset = Authenticator(settings(entra_authority=entra.address))
    with pytest.raises(Unauthorized, match="ENTRA_TENANT_ID"):
        await unset.identify(bearer(entra.token()))


STORAGE = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}


def test_local_mode_refuses_to_start_on_azure() -> None:
    [found] = read_settings(STORAGE | {"AUTH_MODE": "local", "WEBSITE_SITE_NAME": "my-app"})[1]
    assert found.startswith("AUTH_MODE=local")


def test_easyauth_mode_refuses_to_start_where_the_platform_signs_nobody_in() -> None:
    there = STORAGE | {"AUTH_MODE": "easyauth", "WEBSITE_SITE_NAME": "my-app"}
    [found] = read_settings(there | {"WEBSITE_AUTH_ENABLED": "False"})[1]
    assert found.startswith("AUTH_MODE=easyauth")
    assert read_settings(there | {"WEBSITE_AUTH_ENABLED": "True"})[1] == []


def test_without_a_setting_tokens_are_asked_for() -> None:
    made, found = read_settings(STORAGE)
    assert (made.auth_mode, made.api_keys, found) == ("entra", [], [])


@pytest.mark.parametrize(
    "keys", ['[{"name": "a", "sha256": "secret", "roles": []}]', '[{"name": "a", "key": "x"}]', "{}"]
)
def test_keys_that_are_no_hashes_are_refused(keys: str) -> None:
    with pytest.raises(ValidationError):
        settings(api_keys=keys)
