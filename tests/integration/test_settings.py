"""With invalid settings the app still loads: HTTP functions alone, which answer 503 with what is wrong."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from azure.storage.queue import QueueServiceClient

from shared.runtime.settings import Settings
from tests.support.api import Project, client
from tests.support.azurite import Azurite, running_azurite
from tests.support.hosts import Host, api_keys, running_events
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
SECRET = "c2VjcmV0LXZhbHVl"
CONNECTION = (
    f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey={SECRET};BlobEndpoint=http://127.0.0.1:1/a;"
    "QueueEndpoint=http://127.0.0.1:1/a;TableEndpoint=http://127.0.0.1:1/a;"
)
ENOUGH = {
    "AzureWebJobsStorage": CONNECTION,
    "API_KEYS": json.dumps([{"name": "k", "sha256": "0" * 64, "roles": ["*"]}]),
}
#: A malformed value of each setting that has a format; what is said names the setting.
MALFORMED = {
    "AzureWebJobsStorage": SECRET,
    "AzureWebJobsStorage__accountName": f"https://{SECRET}",
    "AzureWebJobsStorage__clientId": SECRET,
    "STORAGE_CLIENT": SECRET,
    "API_KEYS": f"[{SECRET}",
    "AUTH_MODE": SECRET,
    "TABLE_PREFIX": SECRET,
    "DOCUMENTS_CONTAINER": f"-{SECRET}-",
    "COLLECT_WINDOW_SECONDS": SECRET,
    "SWEEP_SCHEDULE": SECRET,
    "RECONCILE_SCHEDULE": f"0 * * {SECRET}",
    "SYNC_SCHEDULE": "99 * * * * *",
    "DEFAULT_ENGINE": SECRET,
    "EXTRA_ENGINES": SECRET,
    "ENGINE_BUDGETS": f'{{"embedded": "{SECRET}"}}',
    "AML_API_VERSION": SECRET,
    "AML_OFFSET_UNIT": SECRET,
    "WEBSITE_AUTH_ENABLED": SECRET,
    "ENTRA_AUTHORITY": SECRET,
    "ENTRA_TENANT_ID": SECRET,
    "ENTRA_AUDIENCE": f"{{{SECRET}}}",
    "ENTRA_CLIENT_ID": f"{{{SECRET}}}",
    "ARM_ENDPOINT": f"https://{SECRET}@x",
    "STORAGE_ACCOUNT_ID": SECRET,
    "PUBLIC_ENDPOINT": SECRET,
    "OPENAI_BASE_URL": f"ftp://{SECRET}",
    "AZURE_OPENAI_ENDPOINT": f"https://x/?{SECRET}",
    "LANGUAGE_ENDPOINT": f"https://x/#{SECRET}",
    "EVENTS_TOPIC_ENDPOINT": f"https://x:{SECRET}",
    "OPENAI_API_KEY": f"{SECRET} x",
    "AZURE_OPENAI_API_KEY": f"{SECRET} x",
    "AZURE_OPENAI_API_VERSION": SECRET,
    "OPENAI_INPUT_PRICE": SECRET,
    "OPENAI_OUTPUT_PRICE": f"-{SECRET}",
    "OPENAI_JOB_COST_LIMIT": SECRET,
    "OPENAI_REQUESTS_PER_MINUTE": SECRET,
    "OPENAI_TOKENS_PER_MINUTE": SECRET,
    "OPENAI_MAX_ANSWER_TOKENS": SECRET,
    "OPENAI_TIMEOUT_SECONDS": SECRET,
    "LANGUAGE_KEY": f"{SECRET} x",
    "EVENTS_TOPIC_KEY": f"{SECRET} x",
    "WEBHOOKS": SECRET,
    "WEBHOOK_HOSTS": SECRET,
    "WEBHOOK_SECRETS": f'{{"{SECRET}": 1}}',
    "TELEMETRY": SECRET,
}
#: Settings that may have any text.
FREE_TEXT = {
    "OPENAI_MODEL": "model",
    "AZURE_OPENAI_DEPLOYMENT": "deployment",
    "LANGUAGE_PROJECT": "project",
    "LANGUAGE_DEPLOYMENT": "deployment",
    "APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=x",
    "WEBSITE_SITE_NAME": "site",
    "CONTAINER_APP_NAME": "app",
}
GUID = "01234567-89ab-cdef-0123-456789abcdef"
#: A right value of every setting, that all fit together.
COMPLETE = FREE_TEXT | {
    "AzureWebJobsStorage": CONNECTION.replace("AccountName=a;", "AccountName=account;"),
    "AzureWebJobsStorage__accountName": "account",
    "AzureWebJobsStorage__clientId": GUID,
    "STORAGE_CLIENT": "sdk",
    "API_KEYS": ENOUGH["API_KEYS"],
    "AUTH_MODE": "easyauth",
    "TABLE_PREFIX": "prefix",
    "DOCUMENTS_CONTAINER": "texts",
    "COLLECT_WINDOW_SECONDS": "5",
    "SWEEP_SCHEDULE": "0 */2 * * * *",
    "RECONCILE_SCHEDULE": "0 30 * * * *",
    "SYNC_SCHEDULE": "*/30 * * * *",
    "DEFAULT_ENGINE": "own",
    "EXTRA_ENGINES": '{"own": "tests.support.engines:ScriptedEngine"}',
    "ENGINE_BUDGETS": '{"embedded": 1000}',
    "AML_API_VERSION": "2023-04-01-preview",
    "AML_OFFSET_UNIT": "utf16",
    "WEBSITE_AUTH_ENABLED": "true",
    "ENTRA_AUTHORITY": "https://login.example",
    "ENTRA_TENANT_ID": GUID,
    "ENTRA_AUDIENCE": "api://labelbridge",
    "ENTRA_CLIENT_ID": GUID,
    "ARM_ENDPOINT": "https://management.example",
    "STORAGE_ACCOUNT_ID": (
        f"/subscriptions/{GUID}/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/account"
    ),
    "PUBLIC_ENDPOINT": "https://labels.example",
    "OPENAI_BASE_URL": "https://models.example/v1",
    "OPENAI_API_KEY": "key",
    "AZURE_OPENAI_ENDPOINT": "https://openai.example",
    "AZURE_OPENAI_API_KEY": "key",
    "AZURE_OPENAI_API_VERSION": "2024-10-21",
    "OPENAI_INPUT_PRICE": "0.5",
    "OPENAI_OUTPUT_PRICE": "1.5",
    "OPENAI_JOB_COST_LIMIT": "10",
    "OPENAI_REQUESTS_PER_MINUTE": "60",
    "OPENAI_TOKENS_PER_MINUTE": "60000",
    "OPENAI_MAX_ANSWER_TOKENS": "500",
    "OPENAI_TIMEOUT_SECONDS": "60",
    "LANGUAGE_ENDPOINT": "https://language.example",
    "LANGUAGE_KEY": "key",
    "EVENTS_TOPIC_ENDPOINT": "https://topic.example/api/events",
    "EVENTS_TOPIC_KEY": "key",
    "WEBHOOKS": '[{"name": "hook", "url": "https://hooks.example/x", "secret": "s"}]',
    "WEBHOOK_HOSTS": '["hooks.example"]',
    "WEBHOOK_SECRETS": '{"s": "0123456789abcdef0123456789abcdef"}',
    "TELEMETRY": "console",
}
#: Settings of COMPLETE that others need, and what is said without one.
NEEDED = {
    "EXTRA_ENGINES": "DEFAULT_ENGINE is not an engine of this app",
    "WEBSITE_AUTH_ENABLED": "AUTH_MODE=easyauth requires App Service authentication",
    "ENTRA_TENANT_ID": "ENTRA_AUDIENCE requires ENTRA_TENANT_ID",
    "ENTRA_AUDIENCE": "ENTRA_CLIENT_ID requires ENTRA_AUDIENCE",
    "OPENAI_BASE_URL": "OPENAI_MODEL requires OPENAI_BASE_URL",
    "OPENAI_MODEL": "OPENAI_BASE_URL requires OPENAI_MODEL",
    "AZURE_OPENAI_ENDPOINT": "AZURE_OPENAI_DEPLOYMENT requires AZURE_OPENAI_ENDPOINT",
    "AZURE_OPENAI_DEPLOYMENT": "AZURE_OPENAI_ENDPOINT requires AZURE_OPENAI_DEPLOYMENT",
    "OPENAI_INPUT_PRICE": "OPENAI_JOB_COST_LIMIT requires OPENAI_INPUT_PRICE",
    "OPENAI_OUTPUT_PRICE": "OPENAI_JOB_COST_LIMIT requires OPENAI_INPUT_PRICE and OPENAI_OUTPUT_PRICE",
    "LANGUAGE_ENDPOINT": "LANGUAGE_PROJECT requires LANGUAGE_ENDPOINT",
    "LANGUAGE_DEPLOYMENT": "LANGUAGE_PROJECT requires LANGUAGE_ENDPOINT and LANGUAGE_DEPLOYMENT",
    "EVENTS_TOPIC_ENDPOINT": "EVENTS_TOPIC_KEY requires EVENTS_TOPIC_ENDPOINT",
    "WEBHOOK_HOSTS": "WEBHOOKS[0].url has a host that is not in WEBHOOK_HOSTS",
    "WEBHOOK_SECRETS": "WEBHOOKS[0].secret is not a name in WEBHOOK_SECRETS",
}
#: Loads the app under each environment of the list on stdin, and asks every HTTP function that takes GET.
PROGRAM = """
import asyncio, importlib, json, logging, os, sys
import azure.functions as func
from azurefunctions.extensions.base import get_binding_registry
from shared.runtime import settings
from shared.runtime.container import container

def answer(function, path):
    request = func.HttpRequest("GET", "http://host" + path, headers={}, params={}, route_params={}, body=b"")
    reply = asyncio.run(function.get_user_function()(request))
    return reply.status_code, reply.get_body().decode()

def load(values):
    for name in values:
        os.environ.pop(name, None)
    os.environ.update(values)
    settings.load_settings.cache_clear(), container.cache_clear()
    for name in [n for n in sys.modules if n.partition(".")[0] in ("function_app", "functions")]:
        del sys.modules[name]
    get_binding_registry()._bindings.clear()  # a converter of bindings can be registered only once
    functions = {f.get_function_name(): f for f in importlib.import_module("function_app").app.get_functions()}
    http = {name: f for name, f in functions.items() if f.is_http_function()}
    invalid = len(http) == len(functions)
    asked = ("health", "studio_files", "list_projects")
    answers = [answer(http[name], "/x") for name in asked] if invalid else []
    for name in values:
        os.environ.pop(name, None)
    return {"http": len(http), "others": len(functions) - len(http), "answers": answers}

logging.basicConfig(stream=sys.stderr)
print(json.dumps([load(values) for values in json.load(sys.stdin)]))
"""


def loaded(environments: list[dict[str, str]]) -> tuple[list[dict[str, Any]], str]:
    """What each environment makes of the app, and the log."""
    clean = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=clean, input=json.dumps(environments),
        capture_output=True, text=True, check=False, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def refuses(found: dict[str, Any], words: str) -> None:
    """The app has its HTTP functions alone, which answer 503 with these words."""
    assert found["others"] == 0, words
    for status, body in found["answers"]:
        assert status == 503, words
        message = json.loads(body)["error"]["message"]
        assert message.startswith("The app settings are invalid; correct them and restart the app. ")
        assert words in message
        assert SECRET not in body


def test_every_setting_has_a_malformed_value_or_may_have_any_text() -> None:
    fields = sorted(Settings.model_fields)
    assert sorted(name.lower() for name in [*MALFORMED, *FREE_TEXT]) == fields
    assert sorted(map(str.lower, COMPLETE)) == fields


@pytest.mark.timeout(300)
def test_the_app_loads_with_each_setting_malformed() -> None:
    bad = [ENOUGH | {name: value} for name, value in MALFORMED.items()]
    bad += [ENOUGH | {"AUTH_MODE": "local", "WEBSITE_SITE_NAME": "site"}, {"API_KEYS": "[]"}]
    said = [*MALFORMED, "AUTH_MODE=local is not allowed on Azure", "Set AzureWebJobsStorage"]
    [enough, *found], log = loaded([ENOUGH, *bad])

    assert enough["others"] > 4
    for counted, words in zip(found, said, strict=True):
        refuses(counted, words.upper() if words.startswith("AzureWebJobsStorage__") else words)
        assert counted["http"] == enough["http"], words
    assert SECRET not in log
    assert log.count("The app settings are invalid") == len(bad)


@pytest.mark.timeout(300)
def test_the_app_loads_with_each_setting_missing_and_empty() -> None:
    nothing = ENOUGH | dict.fromkeys(COMPLETE.keys() - ENOUGH.keys(), "")
    storage = {"AzureWebJobsStorage": CONNECTION}  # anyone who calls is refused
    missing = [{n: value for n, value in COMPLETE.items() if n != name} for name in COMPLETE]
    empty = [COMPLETE | {name: ""} for name in COMPLETE]
    found, log = loaded([nothing, storage, storage | {"API_KEYS": ""}, COMPLETE, *missing, *empty])

    fine, turns = found[:4], found[4:]
    assert [counted["others"] > 4 for counted in fine] == [True] * 4
    for name, counted in zip([*COMPLETE, *COMPLETE], turns, strict=True):
        assert counted["http"] == fine[0]["http"], name
        if name in NEEDED:
            refuses(counted, NEEDED[name])
        else:
            assert counted["others"] > 4, name
    assert SECRET not in log


@contextmanager
def bare_host(folder: Path, azurite: Azurite) -> Iterator[Host]:
    """The app in a folder without the sample file, which would fill in all other settings; with events of Azurite."""
    for name in ("function_app.py", "functions", "shared", "host.json", "web"):
        (folder / name).symlink_to(ROOT / name)
    clean = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    settings = clean | {"AzureWebJobsStorage": azurite.connection_string, "API_KEYS": api_keys()}
    command = [sys.executable, "-m", "devhost", "host", "--app", str(folder), "--port", "0", "--strict"]
    log = folder / "host.log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            assert process.stdout
            line = process.stdout.readline()
            assert line.startswith("ready "), log.read_text()
            url = line.split()[1]
            host = Host(url, "labelbridge", process, log, folder / "hold", folder / "answers.json")
            with running_events(azurite, host, folder):
                yield host
        finally:
            process.terminate()


@pytest.mark.timeout(240)
async def test_two_settings_are_enough_for_an_upload_to_its_suggestion(tmp_path: Path) -> None:
    """The triggers have names and schedules all the same."""
    with running_azurite() as azurite, bare_host(tmp_path, azurite) as host:
        async with client(host.url) as http, azurite.storage("labelbridge") as storage:
            await _upload_to_suggestion(Project(http, storage.blobs, "p", "documents"))
        with QueueServiceClient.from_connection_string(azurite.connection_string) as queues:
            names = [queue.name for queue in queues.list_queues()]
        assert [name for name in names if name.startswith("azure-webjobs-blobtrigger-")], (
            "of the blob trigger"
        )


async def _upload_to_suggestion(project: Project) -> None:
    """Nothing but the event of its upload leads to a document: the next comparison is up to an hour away."""
    await project.blobs.create_container(project.container)
    await project.create(settings={"autolabel": {"onUpload": True}})
    words = {"Refund": "refund money back", "Login": "login password locked"}
    texts = {f"{name}-{n}.txt": f"{text} number {n}" for name, text in words.items() for n in range(4)}
    await project.upload(texts)
    await project.registered(len(texts), 90)
    for location in texts:
        await project.put_labels(location, {"class": {"category": location.partition("-")[0]}})
    await project.upload({"new.txt": "please give my money back, a refund"})

    async def suggested() -> bool:
        found = [document for document in await project.documents() if document["location"] == "new.txt"]
        return bool(found and found[0]["suggestions"])

    await eventually("the suggestion of new.txt", suggested)
