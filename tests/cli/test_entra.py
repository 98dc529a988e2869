"""Signing in with Microsoft Entra ID: tokens by azure-identity, which the app checks as in Azure."""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import Cli
from tests.fakes.entra import AUDIENCE, TENANT, FakeEntra
from tests.fakes.identity import HEADER, FakeIdentity
from tests.fakes.server import serve_in_thread
from tests.support.api import unique
from tests.support.azurite import Azurite
from tests.support.hosts import QUIET, Host, running_host

SCOPE = f"{AUDIENCE}/.default"
ANN = "ann@example.org"


@pytest.fixture(scope="module")
def entra() -> Iterator[FakeEntra]:
    fake = FakeEntra()
    with serve_in_thread(fake.app()) as address:
        fake.address = address
        yield fake


@pytest.fixture(scope="module")
def entra_host(
    azurite: Azurite, entra: FakeEntra, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    """A host that takes tokens of the fake tenant, and keys."""
    settings = {
        "AUTH_MODE": "entra",
        "ENTRA_TENANT_ID": TENANT,
        "ENTRA_AUDIENCE": AUDIENCE,
        "ENTRA_AUTHORITY": entra.address,
    }
    prefix = unique("e").replace("-", "")[:12]
    with running_host(azurite, prefix, tmp_path_factory.mktemp("entra"), settings) as host:
        yield host


@pytest.fixture
def cli(entra_host: Host, azurite: Azurite, tmp_path: Path) -> Cli:
    return Cli(entra_host.url, "", azurite.connection_string, tmp_path)


def signed_in_to_azure_cli(cli: Cli, token: str) -> Path:
    """A stand-in for Azure CLI, first on the path, that gives the token; where it notes what it was asked."""
    noted, az = cli.folder / "asked", cli.folder / "az"
    answer = {"accessToken": token, "expires_on": 4_000_000_000, "tenant": TENANT, "tokenType": "Bearer"}
    az.write_text(
        f"#!{sys.executable}\nimport sys\n"
        f"open({str(noted)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\nprint({json.dumps(answer)!r})\n"
    )
    az.chmod(0o755)
    cli.environment |= {
        "PATH": f"{cli.folder}:/usr/bin:/bin",
        "AZURE_TOKEN_CREDENTIALS": "AzureCliCredential",
    }
    return noted


def test_a_token_of_azure_cli_signs_in(cli: Cli, entra: FakeEntra) -> None:
    token = entra.token(roles=["Projects.Write"], preferred_username=ANN)
    noted = signed_in_to_azure_cli(cli, token)
    done = cli.process("login", cli.url, "--entra", "--scope", SCOPE)
    assert (done.status, done.err) == (0, "")
    assert done.out == f"Signed in to {cli.url} as '{ANN}'. Roles: Projects.Write.\n"
    assert noted.read_text() == f"account get-access-token --output json --resource {AUDIENCE}\n"
    file = Path(cli.environment["LABELBRIDGE_CONFIG"])
    assert json.loads(file.read_text()) == {"url": cli.url, "scope": SCOPE}
    name = unique(QUIET)
    assert cli.process("projects", "create", name, "--kind", "entities").status == 0
    assert name in cli.process("projects", "list").out


def test_a_managed_identity_signs_in(cli: Cli, entra: FakeEntra) -> None:
    fake = FakeIdentity(lambda _: entra.token(roles=["Labels.Read"], preferred_username=None, azp="runner"))
    with serve_in_thread(fake.app()) as address:
        cli.environment |= {"IDENTITY_ENDPOINT": f"{address}/msi/token", "IDENTITY_HEADER": HEADER}
        cli.environment["AZURE_TOKEN_CREDENTIALS"] = "prod"
        done = cli.process("login", cli.url, "--entra", "--scope", SCOPE)
        assert (done.status, done.err) == (0, "")
        assert cli.process("projects", "list").status == 0
    assert set(fake.asked) == {AUDIENCE}


def test_a_token_of_the_environment_goes_before_a_stored_key(cli: Cli, entra: FakeEntra) -> None:
    cli("login", cli.url, "--key", "reader")
    cli.environment["LABELBRIDGE_TOKEN"] = entra.token(roles=["Labels.Review"], preferred_username=ANN)
    assert cli("whoami").out == f"'{ANN}' at {cli.url}.\nRoles: Labels.Review.\n"
    cli("projects", "list")
    cli.environment["LABELBRIDGE_TOKEN"] = entra.token(lasts=-600)
    assert "Sign in again" in cli("projects", "list", status=4).err


async def test_a_server_does_not_choose_alone_what_it_gets_a_token_for(cli: Cli, entra: FakeEntra) -> None:
    noted = signed_in_to_azure_cli(cli, entra.token(preferred_username=ANN))
    refused = cli.process("login", cli.url, "--entra")
    assert (refused.status, refused.err) == (
        8,
        f"{cli.url} asks for tokens for '{SCOPE}': confirm with --scope {SCOPE}.\n",
    )
    for typed, status in (("n", 8), ("y", 0)):
        with cli.terminal("login", cli.url, "--entra") as terminal:
            question = await asyncio.to_thread(terminal.shows, "[y/N] ")
            assert SCOPE in question.replace("\n", "")
            assert noted.exists() is False
            terminal.press(f"{typed}\n")
            assert (await asyncio.to_thread(terminal.ends)).status == status
    assert "--resource" in noted.read_text()


def test_without_a_sign_in_to_azure_the_error_is_a_sentence(cli: Cli) -> None:
    cli.environment |= {"PATH": str(cli.folder), "AZURE_TOKEN_CREDENTIALS": "AzureCliCredential"}
    done = cli.process("login", cli.url, "--entra", "--scope", SCOPE)
    assert (done.status, done.out, done.err.count("\n")) == (4, "", 1), done
    assert "Sign in with 'az login'" in done.err
    cli.environment["AZURE_TOKEN_CREDENTIALS"] = "nothing"
    done = cli.process("login", cli.url, "--entra", "--scope", SCOPE)
    assert done.status == 2
    assert "AZURE_TOKEN_CREDENTIALS" in done.err
