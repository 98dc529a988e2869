"""Settings that are refused, with the reason."""

import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from shared.domain.names import EventType
from shared.runtime.container import event_receivers, wanted_events
from shared.runtime.settings import Settings, account_of, read_settings
from shared.wire.aml_jsonl import OffsetUnit

STORAGE = "UseDevelopmentStorage=true"
NOW = datetime(2030, 1, 1, tzinfo=UTC)
OURS = "azure-language, azure-openai, embedded"
NO_ENGINE = f"not an engine of this app; choose one of {OURS}, or a name in EXTRA_ENGINES."


def test_the_defaults_for_azure_machine_learning() -> None:
    settings = Settings(azurewebjobsstorage=STORAGE)
    assert settings.aml_api_version == "2024-04-01-preview"
    assert settings.aml_offset_unit is OffsetUnit.CODE_POINT


@pytest.mark.parametrize("version", ["2020-09-01-preview", "2023-04-01-preview", "2024-04-01-preview"])
def test_versions_that_have_labeling_jobs(version: str) -> None:
    assert Settings(azurewebjobsstorage=STORAGE, aml_api_version=version).aml_api_version == version


@pytest.mark.parametrize(
    "version",
    [
        "2024-07-01-preview",
        "2020-01-01-preview",
        "2023-05-01-preview",
        "2025-06-01",
        "2024-04-01",
        "latest",
        "",
    ],
)
def test_versions_without_labeling_jobs_are_refused(version: str) -> None:
    with pytest.raises(ValidationError, match=r"aml_api_version\s+.* 2024-04-01-preview"):
        Settings(azurewebjobsstorage=STORAGE, aml_api_version=version)


def test_a_wrong_version_names_its_setting_once() -> None:
    variables = {"AzureWebJobsStorage": STORAGE, "AML_API_VERSION": "2020-01-01-preview"}
    [said] = read_settings(variables)[1]
    assert said.startswith("AML_API_VERSION: Enter a version that has labeling jobs: 2020-09-01-preview, ")
    assert said.count("AML_API_VERSION") == 1


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"AzureWebJobsStorage": ""}, "Set AzureWebJobsStorage (a connection string) or "),
        (
            {"AzureWebJobsStorage__accountName": "another"},
            "AzureWebJobsStorage and AzureWebJobsStorage__accountName name different storage accounts; ",
        ),
        ({"DOCUMENTS_CONTAINER": "labelbridge"}, "DOCUMENTS_CONTAINER must not be one of the app's own "),
        ({"TABLE_PREFIX": "mine", "DOCUMENTS_CONTAINER": "mine-x"}, "DOCUMENTS_CONTAINER must not be one "),
        ({"AUTH_MODE": "local", "WEBSITE_SITE_NAME": "site"}, "AUTH_MODE=local is not allowed on Azure"),
        ({"AUTH_MODE": "easyauth", "WEBSITE_SITE_NAME": "site"}, "AUTH_MODE=easyauth requires App Service "),
        ({"AUTH_MODE": "local", "CONTAINER_APP_NAME": "app"}, "AUTH_MODE=local is not allowed on Azure"),
        ({"AUTH_MODE": "easyauth", "CONTAINER_APP_NAME": "app"}, "AUTH_MODE=easyauth requires App Service "),
        ({"ENTRA_AUDIENCE": "app"}, "ENTRA_AUDIENCE requires ENTRA_TENANT_ID, "),
        ({"ENTRA_CLIENT_ID": "page"}, "ENTRA_CLIENT_ID requires ENTRA_AUDIENCE, "),
        (
            {"DEFAULT_ENGINE": "mine"},
            "DEFAULT_ENGINE is not an engine of this app; choose one of azure-language",
        ),
        ({"EXTRA_ENGINES": '{"sekret": "m:f"}', "DEFAULT_ENGINE": "mine"}, f"DEFAULT_ENGINE is {NO_ENGINE}"),
        (
            {"EXTRA_ENGINES": '{"sekret": "m:f"}', "ENGINE_BUDGETS": '{"mine": 5}'},
            f"ENGINE_BUDGETS has a name that is {NO_ENGINE}",
        ),
        ({"ENGINE_BUDGETS": '{"embeded": 5}'}, "ENGINE_BUDGETS has a name that is not an engine of this app"),
        ({"OPENAI_BASE_URL": "http://localhost/v1"}, "OPENAI_BASE_URL requires OPENAI_MODEL."),
        (
            {"OPENAI_BASE_URL": "http://models.internal/v1", "OPENAI_MODEL": "m", "OPENAI_API_KEY": "k"},
            "OPENAI_BASE_URL must begin with https:// where OPENAI_API_KEY is set.",
        ),
        ({"OPENAI_MODEL": "m", "DEFAULT_ENGINE": "azure-openai"}, "OPENAI_MODEL requires OPENAI_BASE_URL."),
        ({"AZURE_OPENAI_DEPLOYMENT": "d"}, "AZURE_OPENAI_DEPLOYMENT requires AZURE_OPENAI_ENDPOINT."),
        (
            {"AZURE_OPENAI_ENDPOINT": "https://a.example"},
            "AZURE_OPENAI_ENDPOINT requires AZURE_OPENAI_DEPLOY",
        ),
        ({"LANGUAGE_PROJECT": "p"}, "LANGUAGE_PROJECT requires LANGUAGE_ENDPOINT and LANGUAGE_DEPLOYMENT."),
        (
            {"DEFAULT_ENGINE": "azure-openai"},
            "DEFAULT_ENGINE=azure-openai requires AZURE_OPENAI_ENDPOINT and ",
        ),
        ({"DEFAULT_ENGINE": "azure-language"}, "DEFAULT_ENGINE=azure-language requires LANGUAGE_ENDPOINT."),
    ],
)
def test_settings_that_contradict_each_other(variables: dict[str, str], said: str) -> None:
    [found] = read_settings({"AzureWebJobsStorage": STORAGE} | variables)[1]
    assert found.startswith(said)
    assert found.endswith(".")


@pytest.mark.parametrize(
    "variables",
    [
        {"AZUREWEBJOBSSTORAGE__ACCOUNTNAME": "devstoreaccount1"},
        {"AUTH_MODE": "local", "ENTRA_AUDIENCE": "app"},
        {"ENTRA_TENANT_ID": "11111111-1111-1111-1111-11111111111A"},
        {
            "ENTRA_AUTHORITY": "https://login.microsoftonline.us/",
            "ARM_ENDPOINT": "https://management.azure.com/",
        },
        {"ENTRA_AUTHORITY": "http://127.0.0.1:9", "ARM_ENDPOINT": "http://localhost:9"},
        {
            "LANGUAGE_ENDPOINT": "http://[::1]:9",
            "OPENAI_BASE_URL": "http://models.internal/v1",
            "OPENAI_MODEL": "m",
        },
        {"EXTRA_ENGINES": '{"mine": "m:f"}', "DEFAULT_ENGINE": "mine", "ENGINE_BUDGETS": '{"mine": 5}'},
        {"TABLE_PREFIX": "mine", "DOCUMENTS_CONTAINER": "labelbridge"},
        {"auth_mode": "", "table_prefix": ""},
        {"LANGUAGE_ENDPOINT": "https://a.example", "LANGUAGE_DEPLOYMENT": "for-pushes"},
        {"OPENAI_BASE_URL": "http://localhost/v1", "OPENAI_MODEL": "m", "DEFAULT_ENGINE": "azure-openai"},
    ],
)
def test_settings_that_fit_together(variables: dict[str, str]) -> None:
    assert read_settings({"AzureWebJobsStorage": STORAGE} | variables)[1] == []


@pytest.mark.parametrize("name", ["API_KEYS", "LANGUAGE_KEY", "WEBHOOK_SECRETS"])
def test_a_reference_that_the_platform_could_not_replace_is_no_value(name: str) -> None:
    """The host hands on the reference itself; a key of that text would be sent to a service."""
    reference = "@Microsoft.KeyVault(SecretUri=https://sekret.vault.azure.net/secrets/x)"
    settings, found = read_settings({"AzureWebJobsStorage": STORAGE, name: reference})
    assert found == [f"{name}: Key Vault gave no value; see the setting in the portal."]
    assert not getattr(settings, name.lower())


@pytest.mark.parametrize(
    "path", ["module", "module:", ":Class", "a b:Class", "module:Class:x", "module:Class\n"]
)
def test_an_engine_of_ones_own_is_a_name_in_a_module(path: str) -> None:
    _, found = read_settings({"AzureWebJobsStorage": STORAGE, "EXTRA_ENGINES": json.dumps({"mine": path})})
    assert found == ["Each value of EXTRA_ENGINES must be the name of a class, as 'module:Class'."]


@pytest.mark.parametrize(
    "name", ["OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "LANGUAGE_KEY", "EVENTS_TOPIC_KEY"]
)
@pytest.mark.parametrize(
    "value", ["sekret\n", "se\r\nkret", "sekr\u00e9t", "se kret", "\tsekret", " ", "\u212aey"]
)
def test_a_key_that_no_header_can_carry_is_refused_without_its_value(name: str, value: str) -> None:
    variables = {"AzureWebJobsStorage": STORAGE, "OPENAI_BASE_URL": "https://a.example", "OPENAI_MODEL": "m"}
    variables |= {"EVENTS_TOPIC_ENDPOINT": "https://t.eventgrid.azure.net/api/events"}
    assert read_settings(variables | {name: value})[1] == [
        f"{name}: Enter ASCII characters, without spaces and line breaks."
    ]
    assert read_settings(variables | {name: "sk-Az09+/=_~"})[1] == []


@pytest.mark.parametrize(
    ("name", "fits"), [("J\u00fcrgen", True), ("sekret\n", False), ("a\r\nsekret", False), ("\u2028", False)]
)
def test_the_name_of_an_access_key_has_no_line_break(name: str, *, fits: bool) -> None:
    key = {"name": name, "sha256": "a" * 64, "roles": ["*"]}
    found = read_settings({"AzureWebJobsStorage": STORAGE, "API_KEYS": json.dumps([key])})[1]
    said = "API_KEYS[0].name: Enter one line of text."
    assert found == ([] if fits else [said])


@pytest.mark.parametrize("hashed", ["a" * 64 + "\n", "\u00e9" * 64, "a" * 63 + " "])
def test_the_hash_of_an_access_key_is_64_hexadecimal_digits(hashed: str) -> None:
    key = {"name": "ann", "sha256": hashed, "roles": ["*"]}
    found = read_settings({"AzureWebJobsStorage": STORAGE, "API_KEYS": json.dumps([key])})[1]
    assert found == ["API_KEYS[0].sha256 must match ^[0-9a-fA-F]{64}$."]


SECURE = ("ENTRA_AUTHORITY", "ARM_ENDPOINT", "AZURE_OPENAI_ENDPOINT", "LANGUAGE_ENDPOINT")


@pytest.mark.parametrize("name", SECURE)
def test_tokens_and_keys_go_by_https(name: str) -> None:
    more = {"AzureWebJobsStorage": STORAGE, "AZURE_OPENAI_DEPLOYMENT": "d"} if "OPENAI" in name else {}
    variables = {"AzureWebJobsStorage": STORAGE} | more
    for wrong in ("http://login.example", "http://10.0.0.4:8080"):
        assert read_settings(variables | {name: wrong})[1] == [f"{name} must begin with https://."]
    here = variables | {name: "http://127.0.0.1:9"}
    assert read_settings(here)[1] == []
    for place in ("WEBSITE_SITE_NAME", "CONTAINER_APP_NAME"):
        assert read_settings(here | {place: "app"})[1] == [f"{name} must begin with https://."]


@pytest.mark.parametrize("name", [*SECURE, "PUBLIC_ENDPOINT", "OPENAI_BASE_URL", "EVENTS_TOPIC_ENDPOINT"])
@pytest.mark.parametrize(
    "wrong",
    [
        "secret", "secret.example", "ftp://secret.example", "https://", "https://secret@login.example",
        "https://:secret@login.example", "https://login.example/?secret", "https://login.example/#secret",
        "https://login.example:secret", "https://[secret]/", "https://login.example/sec ret", "https://a\tsecret",
    ],
)  # fmt: skip
def test_addresses_that_are_refused(name: str, wrong: str) -> None:
    [found] = read_settings({"AzureWebJobsStorage": STORAGE, name: wrong})[1]
    assert found.startswith(f"{name}: Enter an address that begins with http:// or https://, without ")
    assert "secret" not in found


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("ENTRA_TENANT_ID", "secret"),
        ("ENTRA_TENANT_ID", "common"),
        ("ENTRA_AUDIENCE", "api://secret app"),
        ("ENTRA_CLIENT_ID", "{secret}"),
        ("AzureWebJobsStorage__accountName", "secret.blob.core.windows.net"),
        ("AzureWebJobsStorage__clientId", "secret"),
        ("STORAGE_ACCOUNT_ID", "secret"),
        ("STORAGE_ACCOUNT_ID", "/subscriptions/0/resourceGroups/a/providers/Microsoft.Storage/queues/secret"),
    ],
)  # fmt: skip
def test_ids_and_names_of_azure_that_are_refused(name: str, wrong: str) -> None:
    [found] = read_settings({"AzureWebJobsStorage": STORAGE, name: wrong})[1]
    assert found.startswith(f"{name.upper()}: Enter ")
    assert "secret" not in found


def test_the_tenant_is_compared_in_lower_case_and_addresses_end_without_a_slash() -> None:
    tenant = "11111111-1111-1111-1111-11111111111A"
    given = {"ENTRA_TENANT_ID": tenant, "ENTRA_AUTHORITY": "https://login.example/"}
    settings, found = read_settings({"AzureWebJobsStorage": STORAGE} | given)
    assert (settings.entra_tenant_id, settings.entra_authority, found) == (
        tenant.lower(), "https://login.example", [],
    )  # fmt: skip


@pytest.mark.parametrize("name", ["OPENAI_INPUT_PRICE", "OPENAI_OUTPUT_PRICE", "OPENAI_JOB_COST_LIMIT"])
@pytest.mark.parametrize("value", ["1e400", "inf", "nan", "-1"])
def test_prices_are_finite(name: str, value: str) -> None:
    """An answer with a cost that is no number would not be JSON."""
    _, found = read_settings({"AzureWebJobsStorage": STORAGE, "AUTH_MODE": "local", name: value})
    assert any(sentence.startswith(name) for sentence in found), found


def test_contradictions_are_reported_together_with_invalid_values() -> None:
    variables = {
        "AzureWebJobsStorage": STORAGE,
        "TABLE_PREFIX": "9",
        "SWEEP_SCHEDULE": "often",
        "DEFAULT_ENGINE": "mine",
        "ENTRA_AUDIENCE": "app",
    }
    found = read_settings(variables)[1]
    for name in ("TABLE_PREFIX", "SWEEP_SCHEDULE", "DEFAULT_ENGINE", "ENTRA_AUDIENCE"):
        assert len([message for message in found if message.startswith(name)]) == 1
    assert len(found) == 4


def test_a_contradiction_with_a_setting_that_is_invalid_itself_is_not_reported() -> None:
    variables = {"AzureWebJobsStorage": STORAGE, "EXTRA_ENGINES": "{", "DEFAULT_ENGINE": "mine"}
    [found] = read_settings(variables)[1]
    assert found.startswith("EXTRA_ENGINES")


@pytest.mark.parametrize(
    ("connection_string", "name"),
    [
        ("", ""),
        (STORAGE, "devstoreaccount1"),
        ("DefaultEndpointsProtocol=https;AccountName=mine;AccountKey=a==", "mine"),
        ("BlobEndpoint=https://mine.blob.core.windows.net/;SharedAccessSignature=sv=1", "mine"),
        (
            "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;SharedAccessSignature=sv=1",
            "devstoreaccount1",
        ),
    ],
)
def test_the_account_of_a_connection_string(connection_string: str, name: str) -> None:
    assert account_of(connection_string) == name


SECRETS = {"WEBHOOK_SECRETS": json.dumps({"crm": "s" * 32, "both": ["n" * 32, "o" * 32]})}
HOSTS = {"WEBHOOK_HOSTS": '["hooks.example.com", "*.example.org"]'}


def webhooks(*given: dict[str, object]) -> dict[str, str]:
    hooks = [
        {"name": f"hook{n}", "url": "https://hooks.example.com/x", "secret": "crm"} | hook
        for n, hook in enumerate(given)
    ]
    return {"AzureWebJobsStorage": STORAGE, "WEBHOOKS": json.dumps(hooks), **SECRETS, **HOSTS}


def test_receivers_of_events() -> None:
    variables = webhooks(
        {}, {"url": "https://a.example.org/", "secret": "both", "events": ["Labelbridge.LabelsSaved"]}
    )
    topic = {"EVENTS_TOPIC_ENDPOINT": "https://t.westeurope-1.eventgrid.azure.net/api/events"}
    settings, found = read_settings(variables | topic)
    assert found == []
    assert [receiver.name for receiver in event_receivers(settings, lambda: NOW)] == [
        "topic",
        "hook0",
        "hook1",
    ]
    assert wanted_events(settings) == frozenset(EventType)


def test_only_events_that_a_receiver_wants_are_written() -> None:
    settings, _ = read_settings(
        webhooks({"events": ["Labelbridge.LabelsSaved"]}, {"events": ["Labelbridge.ModelTrained"]})
    )
    assert wanted_events(settings) == {EventType.LABELS_SAVED, EventType.MODEL_TRAINED}
    assert wanted_events(read_settings(webhooks({}))[0]) == frozenset(EventType)
    assert wanted_events(read_settings({"AzureWebJobsStorage": STORAGE})[0]) == frozenset()


def test_a_receiver_on_this_machine_is_for_local_work() -> None:
    local = webhooks({"url": "http://127.0.0.1:9/"}) | {
        "AUTH_MODE": "local",
        "EVENTS_TOPIC_ENDPOINT": "http://localhost:9/api/events",
    }
    assert read_settings(local)[1] == []
    assert read_settings(local | {"AUTH_MODE": "entra"})[1] == [
        "EVENTS_TOPIC_ENDPOINT must begin with https://.",
        "WEBHOOKS[0].url must begin with https://.",
    ]


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        ({"url": "http://hooks.example.com/"}, "WEBHOOKS[0].url must begin with https://."),
        ({"url": "https://evil.example.net/"}, "WEBHOOKS[0].url has a host that is not in WEBHOOK_HOSTS."),
        ({"url": "https://a..example.com/"}, "WEBHOOKS[0].url must have a valid host name."),
        ({"url": "https://hooks.example.com@evil.net/"}, "WEBHOOKS[0].url: Enter an address that begins"),
        ({"url": "ftp://hooks.example.com/"}, "WEBHOOKS[0].url: Enter an address that begins with http"),
        ({"secret": "other"}, "WEBHOOKS[0].secret is not a name in WEBHOOK_SECRETS."),
        ({"name": "topic"}, "WEBHOOKS[0].name must differ from"),
        ({"name": "Hook 1"}, "WEBHOOKS[0].name must match"),
        ({"events": ["LabelsSaved"]}, "WEBHOOKS[0].events[0] must be "),
        ({"other": 1}, "WEBHOOKS[0] has a field that does not exist"),
    ],
)  # fmt: skip
def test_webhooks_that_are_refused(hook: dict[str, object], said: str) -> None:
    [found] = read_settings(webhooks(hook))[1]
    assert found.startswith(said)


def test_names_of_webhooks_differ_and_secrets_are_long() -> None:
    [found] = read_settings(webhooks({"name": "a"}, {"name": "a"}))[1]
    assert found.startswith("WEBHOOKS[1].name must differ")
    for wrong in ('{"crm": "short-secret"}', '{"crm": ["short-secret"]}', '{"crm": 5}'):
        assert read_settings(webhooks({}) | {"WEBHOOK_SECRETS": wrong})[1] == [
            "Each value of WEBHOOK_SECRETS must be a secret of 32 to 500 characters, or a list of up to 5 such secrets."
        ]
    [found] = read_settings({"AzureWebJobsStorage": STORAGE, "EVENTS_TOPIC_KEY": "k"})[1]
    assert found == "EVENTS_TOPIC_KEY requires EVENTS_TOPIC_ENDPOINT."
