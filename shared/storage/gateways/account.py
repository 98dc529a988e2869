"""Which storage account, and how it is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

_AZURITE = {
    "accountname": "devstoreaccount1",
    # The published key of the emulator, the same on every machine.
    "accountkey": (
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    ),
    "tableendpoint": "http://127.0.0.1:10002/devstoreaccount1",
    "blobendpoint": "http://127.0.0.1:10000/devstoreaccount1",
    "queueendpoint": "http://127.0.0.1:10001/devstoreaccount1",
}


@dataclass(frozen=True, slots=True)
class Account:
    """The endpoints of an account and one of: a credential (managed identity), its key, a SAS."""

    table_endpoint: str
    blob_endpoint: str
    queue_endpoint: str
    credential: AsyncTokenCredential | None = None
    name: str = ""
    key: str = ""
    sas: str = ""

    @classmethod
    def from_connection_string(cls, text: str) -> Account:
        """As the portal shows it, or `UseDevelopmentStorage=true`; raises ValueError."""
        pairs = (part.partition("=") for part in text.strip().rstrip(";").split(";"))
        given = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if given.get("usedevelopmentstorage", "").lower() == "true":
            given = _AZURITE | given
        name, key = given.get("accountname", ""), given.get("accountkey", "")
        sas = given.get("sharedaccesssignature", "").lstrip("?")
        if not sas and not (name and key):
            raise ValueError(
                "The connection string holds neither AccountName and AccountKey nor a signature."
            )
        table, blob, queue = (_endpoint(given, kind) for kind in ("table", "blob", "queue"))
        return cls(table, blob, queue, name=name, key=key, sas=sas)


def _endpoint(given: dict[str, str], kind: str) -> str:
    explicit = given.get(f"{kind}endpoint")
    if explicit:
        return explicit.rstrip("/")
    if "accountname" not in given:
        raise ValueError(f"The connection string holds neither AccountName nor {kind.title()}Endpoint.")
    suffix = given.get("endpointsuffix", "core.windows.net")
    return f"{given.get('defaultendpointsprotocol', 'https')}://{given['accountname']}.{kind}.{suffix}"
