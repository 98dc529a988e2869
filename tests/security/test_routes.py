"""Every route first authenticates the caller, and accepts only callers with its role."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

import function_app
from functions.http import OPERATIONS, Operation, Routes
from shared.runtime.auth import Access, Role, allowed
from tests.support.api import client
from tests.support.hosts import KEY, LIMITED, Host

ROOT = Path(__file__).parents[2]
ANONYMOUS = {"health", "home", "ready", "studio_config", "studio_files"}
#: They only return information.
QUESTIONS = {"estimate_autolabel", "check_connection", "export_project", "search_documents"}
GUARDED = [
    (operation, method)
    for operation in OPERATIONS
    if operation.id not in ANONYMOUS
    for method in operation.methods
]


def path(operation: Operation) -> str:
    """An address of the operation; what it names need not exist."""
    return "/" + re.sub(r"{\*?\w+}", "nothing", operation.path.lstrip("/"))


@pytest.fixture
async def nobody(host: Host) -> AsyncIterator[httpx.AsyncClient]:
    async with client(host.url, key=None, version=None) as made:
        yield made


def test_every_http_function_of_the_app_is_an_operation_with_a_role() -> None:
    served = {
        function.get_function_name()
        for function in function_app.app.get_functions()
        if function.is_http_function()
    }
    assert served == {operation.id for operation in OPERATIONS}
    assert len(served) == len(OPERATIONS)
    assert all(isinstance(operation.role, Role | Access) for operation in OPERATIONS)


def test_a_route_without_a_role_cannot_be_declared() -> None:
    with pytest.raises(TypeError, match="role"):
        Routes().add("GET", "nothing", {200: None})  # type: ignore[call-arg]


def test_only_the_files_of_the_page_and_health_are_anonymous() -> None:
    assert {operation.id for operation in OPERATIONS if operation.role is Access.ANONYMOUS} == ANONYMOUS


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/reference/roles.md"])
def test_the_pages_on_security_name_every_anonymous_route(page: str) -> None:
    text = " ".join((ROOT / page).read_text("utf-8").split())
    [sentence] = re.findall(
        r"Only `/[^.]*(?:\.json[^.]*)*anonymous\.|Every operation requires a signed-in caller, except .*?`\.",
        text,
    )
    routes = {path(operation) for operation in OPERATIONS if operation.id in ANONYMOUS}
    assert set(re.findall(r"`(/[^`]*)`", sentence)) == {route.removesuffix("nothing") for route in routes}


def test_whatever_changes_something_needs_more_than_reading() -> None:
    for operation in OPERATIONS:
        if operation.method in {"POST", "PUT", "PATCH", "DELETE"} and operation.id not in QUESTIONS:
            assert operation.role in {Role.REVIEW, Role.WRITE, Role.OWN, Role.SWITCH}, operation.id


async def test_without_credentials_every_route_is_401_before_anything_else(nobody: httpx.AsyncClient) -> None:
    """No api-version, no JSON, names that nothing has: 401 all the same, and no hint of them."""
    assert len(GUARDED) > 25
    for operation, method in GUARDED:
        for body in (b"", b"{no json"):
            answer = await nobody.request(method, path(operation), content=body)
            assert answer.status_code == 401, operation.id
            assert answer.json()["error"]["code"] == "Unauthorized", operation.id
            assert answer.headers["www-authenticate"] == "Bearer", operation.id


async def test_a_wrong_key_is_401_on_every_route(nobody: httpx.AsyncClient) -> None:
    for operation, method in GUARDED:
        headers = {"Ocp-Apim-Subscription-Key": "wrong"}
        answer = await nobody.request(method, path(operation), headers=headers)
        assert answer.status_code == 401, operation.id


@pytest.mark.parametrize("key", [KEY.upper(), f"{KEY} x", "\u00e4", "x" * 5000, ""])
async def test_nothing_like_a_key_is_one(nobody: httpx.AsyncClient, key: str) -> None:
    headers = {b"Ocp-Apim-Subscription-Key": key.encode()}  # the host refuses what is not UTF-8
    assert (await nobody.get("/language/whoami", headers=headers)).status_code == 401


@pytest.mark.parametrize("name", LIMITED)
async def test_a_key_without_the_role_is_403_before_anything_else(host: Host, name: str) -> None:
    async with client(host.url, key=name, version=None) as http:
        for operation, method in GUARDED:
            answer = await http.request(method, path(operation), content=b"{no json")
            if allowed(frozenset(LIMITED[name]), operation.role):
                assert answer.status_code in {200, 400, 404, 501}, operation.id
            else:
                assert answer.status_code == 403, operation.id
                assert answer.json()["error"]["code"] == "Forbidden"
                assert str(operation.role) in answer.json()["error"]["message"]


@pytest.mark.parametrize("name", sorted(ANONYMOUS))
async def test_anonymous_routes_answer_and_tell_no_secret(nobody: httpx.AsyncClient, name: str) -> None:
    operation = next(candidate for candidate in OPERATIONS if candidate.id == name)
    answer = await nobody.get(path(operation))
    assert answer.status_code in {200, 302, 404}
    for secret in (KEY, "sha256", "AccountKey", "devstoreaccount1"):
        assert secret not in answer.text


@pytest.mark.parametrize(
    "header",
    [
        {"X-MS-CLIENT-PRINCIPAL": "eyJjbGFpbXMiOlt7InR5cCI6InJvbGVzIiwidmFsIjoiKiJ9XX0="},
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": "Basic YTpi"},
        {"x-functions-key": KEY},
    ],
)
async def test_nothing_else_is_a_credential_in_local_mode(
    nobody: httpx.AsyncClient, header: dict[str, str]
) -> None:
    answer = await nobody.get("/language/whoami", headers=header)
    assert answer.status_code == 401


async def test_whoami_tells_name_and_roles(host: Host) -> None:
    async with client(host.url, key="reviewer") as http:
        answer = await http.get("/language/whoami")
    assert answer.json() == {"name": "reviewer", "roles": ["Labels.Review"]}


@pytest.mark.parametrize(
    "file",
    [
        "../function_app.py",
        "..%2f..%2ffunction_app.py",
        "%2e%2e/local.settings.sample.json",
        "/etc/passwd",
        "assets/../../package.json",
    ],
)
async def test_only_files_of_the_page_are_served(nobody: httpx.AsyncClient, file: str) -> None:
    answer = await nobody.get(f"/studio/{file}")
    assert answer.status_code == 404


def test_roles_imply_reading_and_nothing_else() -> None:
    for role in Role:
        assert allowed(frozenset({role}), Role.READ)
        assert allowed(frozenset({role}), role)
        others = set(Role) - {role, Role.READ}
        assert not any(allowed(frozenset({role}), other) for other in others)
    assert not allowed(frozenset(), Role.READ)
    assert not allowed(frozenset({"Unknown.Role"}), Role.READ)
    assert all(allowed(frozenset({"*"}), role) for role in Role)
