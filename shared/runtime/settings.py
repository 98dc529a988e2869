"""All settings of the app, from the environment (on Azure: app settings). Nothing else reads the environment."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, Json, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.wire.aml_jsonl import OffsetUnit

type AuthMode = Literal["local", "entra", "easyauth"]


class ApiKey(BaseModel):
    """A key that callers send as `Ocp-Apim-Subscription-Key`; only its SHA-256 is kept. Role `*` is every role."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=100)]
    sha256: Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")]
    roles: list[str]


class Settings(BaseSettings):
    """One field a setting; the name of the environment variable is the field's name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix="", case_sensitive=False, extra="ignore", frozen=True, validate_default=False
    )

    #: Connection string of the storage account; or, for managed identity, AZUREWEBJOBSSTORAGE__ACCOUNTNAME.
    azurewebjobsstorage: str = ""
    azurewebjobsstorage__accountname: str = ""
    #: Client id of a user-assigned identity; empty: the system-assigned one, or a developer's own sign-in.
    azurewebjobsstorage__clientid: str = ""

    #: Container whose uploads come by the blob trigger; all others come by the Event Grid trigger.
    documents_container: str = "documents"
    #: Stands before our tables, queues and containers, for the account is the user's.
    table_prefix: Annotated[str, Field(pattern="^[a-z][a-z0-9]{2,19}$")] = "labelbridge"
    #: Seconds for which uploads are collected into one job.
    collect_window_seconds: Annotated[int, Field(ge=0, le=300)] = 2
    #: Scheme and host that callers use, for links in answers; empty: those of the request.
    public_endpoint: str = ""

    #: `local`: keys only, refused on Azure. `entra`: bearer tokens and keys. `easyauth`: as entra, and the platform's
    #: signed-in principal is trusted.
    auth_mode: AuthMode = "entra"
    api_keys: Json[list[ApiKey]] = []
    entra_tenant_id: str = ""
    #: Application id (or its URI) that tokens must be issued for.
    entra_audience: str = ""
    #: Application id that the review page signs in with; empty: the audience.
    entra_client_id: str = ""
    entra_authority: str = "https://login.microsoftonline.com"

    default_engine: str = "embedded"
    #: More engines as JSON, name to `module:factory`; for engines of your own.
    extra_engines: Json[dict[str, str]] = {}

    #: Text records that an engine may take in a month of UTC, for each project, as JSON by engine name.
    engine_budgets: Json[dict[str, int]] = {}

    #: Resource id of the storage account, to compare a workspace's with; empty: no studio `azure-ml`.
    storage_account_id: str = ""
    #: A version of Azure Resource Manager's API that knows labeling jobs.
    aml_api_version: str = "2024-01-01-preview"
    #: What an offset in label files of Azure Machine Learning counts: `utf16` or `codePoint`.
    aml_offset_unit: OffsetUnit = OffsetUnit.UTF16
    arm_endpoint: str = "https://management.azure.com"

    #: Set by the platform on Azure.
    website_site_name: str = ""
    website_auth_enabled: bool = False

    @model_validator(mode="after")
    def _fits(self) -> "Settings":
        if self.auth_mode == "local" and self.website_site_name:
            raise ValueError(
                "AUTH_MODE=local is for a developer's machine and is refused on Azure; set it to 'entra'."
            )
        if self.auth_mode == "easyauth" and self.website_site_name and not self.website_auth_enabled:
            raise ValueError(
                "AUTH_MODE=easyauth needs App Service authentication, which is off for this app."
            )
        if not self.azurewebjobsstorage and not self.azurewebjobsstorage__accountname:
            raise ValueError(
                "Set AzureWebJobsStorage (a connection string) or AzureWebJobsStorage__accountName."
            )
        return self

    @property
    def account_name(self) -> str:
        """Name of the storage account."""
        if not self.azurewebjobsstorage:
            return self.azurewebjobsstorage__accountname
        parts = (part.partition("=") for part in self.azurewebjobsstorage.split(";"))
        given = {name.strip().lower(): value.strip() for name, _, value in parts}
        return given.get("accountname", "devstoreaccount1")
