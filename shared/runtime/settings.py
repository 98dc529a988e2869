"""All settings of the app, from the environment (on Azure: app settings). Nothing else reads the environment."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Literal, override
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    ValidationError,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from shared.connection.binding import LABELING_API_VERSION, LABELING_API_VERSIONS
from shared.domain.errors import Unavailable
from shared.domain.names import LOOPBACK, TOPIC, EventType, Names, host_allowed
from shared.domain.schedule import Schedule
from shared.domain.text import Prices
from shared.engines.registry import AZURE_LANGUAGE, AZURE_OPENAI, SERVICES, local_engines
from shared.runtime.setting_errors import sentence
from shared.wire.aml_jsonl import OffsetUnit

_URL = r"https?://[^\x00-\x20@/?#]+(/[^\x00-\x20?#]*)?"
_REFERENCE = "@Microsoft.KeyVault("  # Azure replaces the reference with the secret if it can read it
_LINE = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*"
_GUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ACCOUNT = (
    r"((/subscriptions|/resourceGroups)/[^/\s]+){2}/providers/Microsoft\.Storage/storageAccounts/[a-z0-9]+"
)


def _ncrontab(value: str) -> str:
    if Schedule.parse(value).next(datetime.now(UTC)) is None:
        raise ValueError("the expression has no occurrence")
    return " ".join(value.split())  # the host splits at spaces only


def _service_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        valid = parts.hostname and parts.port != 0 and re.fullmatch(_URL, value, re.IGNORECASE)
    except ValueError:  # its message has a part of the value
        valid = None
    if not valid:
        raise ValueError("Enter an address that begins with http:// or https://, without a user or a query.")
    return value.rstrip("/")


type ServiceUrl = Annotated[str, AfterValidator(_service_url)]


def _form(pattern: str, said: str) -> AfterValidator:
    expression = re.compile(pattern, re.IGNORECASE)

    def matching(value: str) -> str:
        if expression.fullmatch(value) is None:
            raise ValueError(said)
        return value

    return AfterValidator(matching)


type Guid = Annotated[str, _form(_GUID, "Enter an ID of 36 characters."), AfterValidator(str.lower)]
type Application = Annotated[str, _form("[a-z0-9][a-z0-9._~:/-]*", "Enter an application ID or its URI.")]
type Key = Annotated[str, _form("(?-i:[!-~]+)", "Enter ASCII characters, without spaces and line breaks.")]
type AccountName = Annotated[str, _form("(?-i:[a-z0-9]{3,24})", "Enter the name alone, not an address.")]
type AccountId = Annotated[str, _form(_ACCOUNT, "Enter the resource ID of a storage account.")]
type NcronTab = Annotated[str, AfterValidator(_ncrontab)]


class ApiKey(BaseModel):
    """A key that callers send as `Ocp-Apim-Subscription-Key`; only its SHA-256 is kept. Role `*` is every role."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=100), _form(_LINE, "Enter one line of text.")]
    sha256: Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")]
    roles: list[str]


class WebhookSetting(BaseModel):
    """An address that events are posted to. `secret`: a name in WEBHOOK_SECRETS; no `events`, no `projects`: all."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]{0,49}$")]
    url: ServiceUrl
    secret: str
    events: list[EventType] = []
    projects: list[str] = []


type Secret = Annotated[str, Field(min_length=32, max_length=500)]

#: Environment variables that stand in for those of the process, by lower-case name.
_VARIABLES: ContextVar[Mapping[str, str] | None] = ContextVar("variables", default=None)


class Settings(BaseSettings):
    """One field a setting; the name of the environment variable is the field's name in capitals."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True, validate_default=False
    )

    #: Connection string of the storage account; or, for managed identity, AZUREWEBJOBSSTORAGE__ACCOUNTNAME.
    azurewebjobsstorage: str = ""
    azurewebjobsstorage__accountname: AccountName = ""
    #: Client id of a user-assigned identity; empty: the system-assigned one, or a developer's own sign-in.
    azurewebjobsstorage__clientid: Guid = ""

    #: How the most frequent storage calls are made: by plain REST, or like all others by the SDK.
    storage_client: Literal["rest", "sdk"] = "rest"

    #: Container whose uploads come by the blob trigger; all others come by the Event Grid trigger.
    documents_container: Annotated[
        str, Field(min_length=3, max_length=63, pattern="^[a-z0-9]+(-[a-z0-9]+)*$")
    ] = "documents"
    #: Prefix of our tables, queues and containers, because the account is the user's.
    table_prefix: Annotated[str, Field(pattern="^[a-z][a-z0-9]{2,19}$")] = "labelbridge"
    #: When stalled work is restarted and old data purged; UTC, unless WEBSITE_TIME_ZONE is set.
    sweep_schedule: NcronTab = "0 * * * * *"
    #: When containers are compared with the registered documents: by the first sweep that is due.
    reconcile_schedule: NcronTab = "0 0 * * * *"
    #: When labels are imported while labeling is active in Azure Machine Learning.
    sync_schedule: NcronTab = "0 */15 * * * *"
    #: Seconds for which uploads are collected into one job.
    collect_window_seconds: Annotated[int, Field(ge=0, le=300)] = 2
    #: Scheme and host that callers use, for links in answers; empty: those of the request.
    public_endpoint: ServiceUrl = ""

    #: `local`: keys only, refused on Azure. `entra`: bearer tokens and keys. `easyauth`: as entra, and the platform's
    #: signed-in principal is trusted.
    auth_mode: Literal["local", "entra", "easyauth"] = "entra"
    api_keys: Json[list[ApiKey]] = []
    entra_tenant_id: Guid = ""
    #: Application id (or its URI) that tokens must be issued for.
    entra_audience: Application = ""
    #: Application id that the review page signs in with; empty: the audience.
    entra_client_id: Application = ""
    entra_authority: ServiceUrl = "https://login.microsoftonline.com"

    default_engine: str = "embedded"
    #: More engines as JSON, name to `module:factory`; for engines of your own.
    extra_engines: Json[dict[str, Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]]] = {}

    #: Text records that an engine may take in a month of UTC, for each project, as JSON by engine name.
    engine_budgets: Json[dict[str, Annotated[int, Field(ge=0)]]] = {}

    #: The engine `azure-openai`: a server with OpenAI's API (these three), or else Azure OpenAI (the next four).
    openai_base_url: ServiceUrl = ""
    openai_api_key: Key = ""
    openai_model: str = ""
    azure_openai_endpoint: ServiceUrl = ""
    azure_openai_deployment: str = ""
    azure_openai_api_version: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}(-preview)?$")] = "2024-10-21"
    #: Empty: the managed identity.
    azure_openai_api_key: Key = ""
    #: Money for a million tokens; 0: not known, and no amounts are shown.
    openai_input_price: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    openai_output_price: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    #: Money that a job may cost; 0: no limit.
    openai_job_cost_limit: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    #: Over all instances of the app; 0: no limit.
    openai_requests_per_minute: Annotated[int, Field(ge=0)] = 0
    openai_tokens_per_minute: Annotated[int, Field(ge=0)] = 0
    openai_max_answer_tokens: Annotated[int, Field(ge=0, le=16_000)] = 0  # 0: by the kind of the project
    #: The maximum that a batch has time for: see `END_SECONDS` of the exchanges.
    openai_timeout_seconds: Annotated[int, Field(ge=1, le=300)] = 30

    #: The engine `azure-language`: a deployed custom model. Without a key: the managed identity.
    language_endpoint: ServiceUrl = ""
    language_project: str = ""
    language_deployment: str = ""
    language_key: Key = ""

    #: Resource id of the storage account, to compare a workspace's with; empty: no studio `azure-ml`.
    storage_account_id: AccountId = ""
    #: Version of Azure Resource Manager's API for labeling jobs, which only preview versions have.
    aml_api_version: str = LABELING_API_VERSION
    #: What an offset in label files of Azure Machine Learning counts: `utf16` or `codePoint`.
    aml_offset_unit: OffsetUnit = OffsetUnit.CODE_POINT
    arm_endpoint: ServiceUrl = "https://management.azure.com"

    #: Events go to a custom topic of Event Grid (without a key: by the managed identity), and to webhooks.
    events_topic_endpoint: ServiceUrl = ""
    events_topic_key: Key = ""
    webhooks: Json[list[WebhookSetting]] = []
    #: Hosts that webhooks may have, as JSON: names, or `*.example.com` for those below one.
    webhook_hosts: Json[list[str]] = []
    #: The secrets that webhooks are signed with, as JSON by name; a list while one is being replaced.
    webhook_secrets: Json[dict[str, Secret | Annotated[list[Secret], Field(min_length=1, max_length=5)]]] = {}

    #: Where spans, metrics and logs go; with a managed identity that is used for it, too.
    applicationinsights_connection_string: str = ""
    #: `console`: spans, metrics and logs go to standard error, if they do not go to Application Insights.
    telemetry: Literal["", "console"] = ""

    #: Set by the platform on Azure.
    website_site_name: str = ""
    container_app_name: str = ""
    website_auth_enabled: bool = False

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment alone."""
        if (variables := _VARIABLES.get()) is not None and isinstance(env_settings, EnvSettingsSource):
            env_settings.env_vars = variables
        return init_settings, env_settings

    @field_validator("aml_api_version")
    @classmethod
    def _has_labeling_jobs(cls, version: str) -> str:
        if version not in LABELING_API_VERSIONS:
            known = ", ".join(LABELING_API_VERSIONS)
            raise ValueError(f"Enter a version that has labeling jobs: {known}.")
        return version

    @property
    def prices(self) -> Prices:
        """Of the engine `azure-openai`."""
        return Prices(self.openai_input_price, self.openai_output_price)

    @property
    def has_receivers(self) -> bool:
        """Whether there is any receiver of events."""
        return bool(self.events_topic_endpoint or self.webhooks)

    @property
    def on_azure(self) -> bool:
        """Whether the app runs on a Functions plan or on Container Apps."""
        return bool(self.website_site_name or self.container_app_name)

    @property
    def is_local(self) -> bool:
        """Whether the app runs on a developer's machine: only then may receivers be there, too."""
        return self.auth_mode == "local" and not self.on_azure

    @property
    def account_name(self) -> str:
        """Name of the storage account."""
        return account_of(self.azurewebjobsstorage) or self.azurewebjobsstorage__accountname


def account_of(connection_string: str) -> str:
    """Name of the storage account that a connection string is for; "" without one."""
    if not connection_string:
        return ""
    given = _parts_of(connection_string)
    if "accountname" in given:
        return given["accountname"]
    try:
        host = urlsplit(given.get("blobendpoint", "")).hostname or ""  # with a shared access signature
    except ValueError:
        return ""
    return host.partition(".")[0] if ".blob." in host else "devstoreaccount1"


def _parts_of(connection_string: str) -> dict[str, str]:
    parts = (part.partition("=") for part in connection_string.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in parts}


def _signs_in(connection_string: str) -> bool:
    """Whether a connection string says where the account is, and how to sign in to it."""
    given = _parts_of(connection_string)
    if given.get("usedevelopmentstorage", "").lower() == "true":
        return True
    return bool(
        account_of(connection_string)
        and (given.get("sharedaccesssignature") or (given.get("accountname") and given.get("accountkey")))
    )


class InvalidSettings(Unavailable):
    """The settings are invalid. `found` has a sentence for each error, with the name of the setting and no values."""

    def __init__(self, found: Sequence[str]) -> None:
        super().__init__(f"The app settings are invalid; correct them and restart the app. {' '.join(found)}")
        self.found = tuple(found)


@cache
def load_settings() -> Settings:
    """The settings of this process. Raises InvalidSettings."""
    settings, found = read_settings(os.environ)
    if found:
        raise InvalidSettings(found)
    return settings


def read_settings(variables: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """The settings in environment variables, and a sentence for each error, with the name of the setting and no values.
    Empty variables count as not set; settings with errors are left out.
    """
    given = {name.lower(): value for name, value in variables.items() if value}
    wrong = {name for name in Settings.model_fields if given.get(name, "").startswith(_REFERENCE)}
    found = [f"{n.upper()}: Key Vault gave no value; see the setting in the portal." for n in sorted(wrong)]
    try:
        settings = _settings_of({name: value for name, value in given.items() if name not in wrong})
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            found.append(sentence(detail, given))
            wrong.add(str(detail["loc"][0]))
        settings = _settings_of({name: value for name, value in given.items() if name not in wrong})
    found += [said for names, said in _contradictions(settings) if not wrong & {*names.split()}]
    return settings, list(dict.fromkeys(found))


def _settings_of(variables: Mapping[str, str]) -> Settings:
    token = _VARIABLES.set(variables)
    try:
        return Settings()
    finally:
        _VARIABLES.reset(token)


def _contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """Settings that contradict each other: the names of the fields, separated by spaces, and what to do."""
    yield from _storage_contradictions(settings)
    yield from _sign_in_contradictions(settings)
    yield from _address_contradictions(settings)
    yield from _event_contradictions(settings)
    ours = {*local_engines(), *SERVICES}
    engines = {*ours, *settings.extra_engines}
    # Names that people chose may be a secret in the wrong place.
    choose = f"choose one of {', '.join(sorted(ours))}, or a name in EXTRA_ENGINES."
    if settings.default_engine not in engines:  # it would fail only when a job runs
        yield "default_engine extra_engines", f"DEFAULT_ENGINE is not an engine of this app; {choose}"
    if settings.engine_budgets.keys() - engines:  # it would limit nothing
        yield (
            "engine_budgets extra_engines",
            f"ENGINE_BUDGETS has a name that is not an engine of this app; {choose}",
        )
    prices = settings.openai_input_price, settings.openai_output_price
    if settings.openai_job_cost_limit and not all(prices):
        yield (
            "openai_job_cost_limit openai_input_price openai_output_price",
            "OPENAI_JOB_COST_LIMIT requires OPENAI_INPUT_PRICE and OPENAI_OUTPUT_PRICE.",
        )
    yield from _engine_contradictions(settings)


def _engine_contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """Of an engine that runs elsewhere, some settings without the others."""
    for address, name in (
        ("openai_base_url", "openai_model"),
        ("azure_openai_endpoint", "azure_openai_deployment"),
    ):
        if bool(getattr(settings, address)) != bool(getattr(settings, name)):
            given, missing = (address, name) if getattr(settings, address) else (name, address)
            yield f"{address} {name}", f"{given.upper()} requires {missing.upper()}."
    if settings.language_project and not (settings.language_endpoint and settings.language_deployment):
        yield (
            "language_project language_endpoint language_deployment",
            "LANGUAGE_PROJECT requires LANGUAGE_ENDPOINT and LANGUAGE_DEPLOYMENT.",
        )
    server = (settings.openai_base_url, settings.openai_model)
    azure = (settings.azure_openai_endpoint, settings.azure_openai_deployment)
    if settings.default_engine == AZURE_OPENAI and not any((*server, *azure)):
        yield (
            "default_engine openai_base_url openai_model azure_openai_endpoint azure_openai_deployment",
            "DEFAULT_ENGINE=azure-openai requires AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_DEPLOYMENT, or "
            "OPENAI_BASE_URL and OPENAI_MODEL.",
        )
    if settings.default_engine == AZURE_LANGUAGE and not settings.language_endpoint:
        yield "default_engine language_endpoint", "DEFAULT_ENGINE=azure-language requires LANGUAGE_ENDPOINT."


def _storage_contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    account, named = account_of(settings.azurewebjobsstorage), settings.azurewebjobsstorage__accountname
    if settings.azurewebjobsstorage and not _signs_in(settings.azurewebjobsstorage):
        yield (
            "azurewebjobsstorage",
            "AzureWebJobsStorage must be a connection string with AccountName and AccountKey, or with "
            "SharedAccessSignature.",
        )
    elif not account and not named:
        yield "", "Set AzureWebJobsStorage (a connection string) or AzureWebJobsStorage__accountName."
    if account and named and account.lower() != named.lower():
        yield (
            "",
            "AzureWebJobsStorage and AzureWebJobsStorage__accountName name different storage accounts; "
            "set only one of them.",
        )
    if Names(settings.table_prefix).is_ours(settings.documents_container):
        yield (
            "table_prefix documents_container",
            "DOCUMENTS_CONTAINER must not be one of the app's own containers, whose names begin with TABLE_PREFIX.",
        )


def _sign_in_contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    mode = settings.auth_mode
    if mode == "local" and settings.on_azure:
        yield "auth_mode", "AUTH_MODE=local is not allowed on Azure; set it to 'entra'."
    if mode == "easyauth" and settings.on_azure and not settings.website_auth_enabled:
        yield (
            "auth_mode website_auth_enabled",
            "AUTH_MODE=easyauth requires App Service authentication, which is turned off for this app.",
        )
    if mode != "local" and settings.entra_audience and not settings.entra_tenant_id:
        yield "auth_mode", "ENTRA_AUDIENCE requires ENTRA_TENANT_ID, the tenant whose tokens are accepted."
    if mode != "local" and settings.entra_client_id and not settings.entra_audience:
        yield (
            "auth_mode",
            "ENTRA_CLIENT_ID requires ENTRA_AUDIENCE, the application that tokens are issued for.",
        )


def _address_contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """Services that get tokens or keys need HTTPS, except on a developer's machine."""
    for name in ("entra_authority", "arm_endpoint", "azure_openai_endpoint", "language_endpoint"):
        address: str = getattr(settings, name)
        parts = urlsplit(address)
        if parts.scheme == "http" and (settings.on_azure or parts.hostname not in LOOPBACK):
            yield name, f"{name.upper()} must begin with https://."
    base = urlsplit(settings.openai_base_url)
    if settings.openai_api_key and base.scheme == "http" and base.hostname not in LOOPBACK:
        yield (
            "openai_base_url openai_api_key",
            "OPENAI_BASE_URL must begin with https:// where OPENAI_API_KEY is set.",
        )


def _event_contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.events_topic_endpoint and not _is_safe(settings.events_topic_endpoint, settings):
        yield "events_topic_endpoint auth_mode", "EVENTS_TOPIC_ENDPOINT must begin with https://."
    if settings.events_topic_key and not settings.events_topic_endpoint:
        yield "events_topic_endpoint", "EVENTS_TOPIC_KEY requires EVENTS_TOPIC_ENDPOINT."
    hosts, names = "webhooks webhook_hosts auth_mode", [webhook.name for webhook in settings.webhooks]
    for index, webhook in enumerate(settings.webhooks):
        place, parts = f"WEBHOOKS[{index}]", urlsplit(webhook.url)
        if not _is_safe(webhook.url, settings):
            yield hosts, f"{place}.url must begin with https://."
        elif not _is_name(parts.hostname or ""):
            yield hosts, f"{place}.url must have a valid host name."
        elif parts.scheme == "https" and not host_allowed(parts.hostname or "", settings.webhook_hosts):
            yield hosts, f"{place}.url has a host that is not in WEBHOOK_HOSTS."
        if webhook.secret not in settings.webhook_secrets:
            yield "webhooks webhook_secrets", f"{place}.secret is not a name in WEBHOOK_SECRETS."
        if webhook.name == TOPIC or webhook.name in names[:index]:
            yield "webhooks", f"{place}.name must differ from the names of other webhooks and from '{TOPIC}'."


def _is_name(host: str) -> bool:
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False


def _is_safe(url: str, settings: Settings) -> bool:
    """HTTPS, except for a receiver on the same developer's machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (settings.is_local and parts.hostname in LOOPBACK)
