"""What the host reads before it loads an app: host.json, the local settings, storage connections."""

import base64
import json
import os
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

STORAGE_SETTING = "AzureWebJobsStorage"
HOST_ID_SETTING = "AzureFunctionsWebHost__hostid"
DEVELOPMENT_STORAGE = "UseDevelopmentStorage=true"
ACCOUNT = "devstoreaccount1"
# The emulator's key is published by Microsoft and the same everywhere; it protects nothing.
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class HostError(Exception):
    """The app or the host's configuration is wrong; the message says what to change."""


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """`extensions.queues` of host.json; times in seconds."""

    batch_size: int = 16
    new_batch_threshold: int = 8
    max_dequeue_count: int = 5
    visibility_timeout: float = 0.0
    max_polling_interval: float = 60.0
    base64_messages: bool = True


@dataclass(frozen=True, slots=True)
class HostOptions:
    """What the host takes from host.json and settings; times in seconds (None: no limit), `max_body` in bytes."""

    route_prefix: str
    queues: QueueOptions
    blob_parallelism: int
    function_timeout: float | None
    timer_lease: int
    timer_lease_retry: float
    max_body: int


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, {} when there is no such file."""
    if not path.exists():
        return {}
    try:
        value: object = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise HostError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise HostError(f"{path} must hold a JSON object")
    return cast("dict[str, Any]", value)


def section(value: dict[str, Any], *names: str) -> dict[str, Any]:
    """The object found by following `names`, {} where one is missing."""
    for name in names:
        value = value.get(name) or {}
    return value


def parse_time_span(text: str) -> float:
    """Seconds of a .NET TimeSpan such as `00:00:02`, `1.06:00:00`; `-1` is -1."""
    if text.strip() == "-1":
        return -1.0
    match = re.fullmatch(r"\s*(-)?(?:(\d+)\.)?(\d+):(\d+)(?::(\d+(?:\.\d+)?))?\s*", text)
    if match is None:
        raise HostError(f"{text!r} is not a time span such as 00:05:00")
    sign, days, hours, minutes, seconds = match.groups()
    total = int(days or 0) * 86_400 + int(hours) * 3_600 + int(minutes) * 60 + float(seconds or 0)
    return -total if sign else total


def override(data: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Let settings such as `AzureFunctionsJobHost__extensions__queues__batchSize` override host.json."""
    for setting, value in environment.items():
        prefix, *path = setting.split("__")
        if prefix != "AzureFunctionsJobHost" or not path:
            continue
        *parents, last = path
        target = data
        for name in parents:
            target = target.setdefault(name, {})
        target[last] = value


def read_host_options(app: Path) -> HostOptions:
    """host.json and its overrides, with the real host's defaults; the lease is that for development."""
    data = read_json(app / "host.json")
    override(data, os.environ)
    queues, cpus = section(data, "extensions", "queues"), os.cpu_count() or 1
    batch = int(queues.get("batchSize", 16))
    timeout = parse_time_span(str(data.get("functionTimeout", "00:30:00")))
    singleton = section(data, "singleton")
    lease = int(parse_time_span(singleton.get("listenerLockPeriod", "00:00:15")))
    retry = parse_time_span(singleton.get("listenerLockRecoveryPollingInterval", "00:01:00"))
    limit = os.environ.get("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", "104857600")
    if not 1 <= batch <= 32:
        raise HostError("host.json: extensions.queues.batchSize must be 1 to 32")
    if not 15 <= lease <= 60:
        raise HostError("host.json: singleton.listenerLockPeriod must be 15 s to 60 s")
    if retry < 15:
        raise HostError("host.json: singleton.listenerLockRecoveryPollingInterval must be at least 15 s")
    if not limit.isdecimal():
        raise HostError("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT must be a number of bytes")
    return HostOptions(
        route_prefix=str(section(data, "extensions", "http").get("routePrefix", "api")).strip("/"),
        queues=QueueOptions(
            batch_size=batch,
            new_batch_threshold=int(queues.get("newBatchThreshold", max(1, batch // 2) * cpus)),
            max_dequeue_count=int(queues.get("maxDequeueCount", 5)),
            visibility_timeout=parse_time_span(queues.get("visibilityTimeout", "00:00:00")),
            max_polling_interval=parse_time_span(queues.get("maxPollingInterval", "00:01:00")),
            base64_messages=str(queues.get("messageEncoding", "base64")).lower() == "base64",
        ),
        blob_parallelism=int(section(data, "extensions", "blobs").get("maxDegreeOfParallelism", 8 * cpus)),
        function_timeout=None if timeout < 0 else timeout,
        timer_lease=lease,
        timer_lease_retry=retry,
        max_body=int(limit),
    )


def azurite_connection(blob_port: int) -> str:
    """Connection string of an Azurite whose blob, queue and table ports follow each other."""
    services = enumerate(("Blob", "Queue", "Table"))
    endpoints = (f"{name}Endpoint=http://127.0.0.1:{blob_port + n}/{ACCOUNT};" for n, name in services)
    account = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};"
    return account + "".join(endpoints)


def local_values(app: Path) -> dict[str, str]:
    """`Values` of the app's local.settings.json or, where there is none, of its sample."""
    file = app / "local.settings.json"
    values = section(read_json(file if file.exists() else app / "local.settings.sample.json"), "Values")
    return {name: str(value) for name, value in values.items()}


def load_environment(app: Path, azurite_port: int | None, settings_file: bool = True) -> None:
    """Put the app's local settings into the environment; what is already there wins.

    An Azurite port replaces AzureWebJobsStorage, and `UseDevelopmentStorage=true` in any setting. Without
    `settings_file` the environment holds all settings.
    """
    connection = azurite_connection(azurite_port) if azurite_port else None
    for name, text in (local_values(app) if settings_file else {}).items():
        os.environ.setdefault(name, connection if connection and text == DEVELOPMENT_STORAGE else text)
    if connection:
        os.environ[STORAGE_SETTING] = connection
    if not os.environ.get(STORAGE_SETTING):
        raise HostError(
            "AzureWebJobsStorage is not set: set it to a connection string, or give --azurite-port"
        )


def resolve(text: str, settings: Mapping[str, str] = os.environ) -> str:
    """Replace `%NAME%` by the setting NAME, as the host does in binding expressions."""

    def value_of(match: re.Match[str]) -> str:
        value = settings.get(match[1])
        if not value:
            raise HostError(f"'%{match[1]}%' in {text!r} does not resolve to a value: set {match[1]}")
        return value

    return re.sub(r"%([^%]+)%", value_of, text)


def connection_setting(name: str | None) -> str:
    """Name of the setting that holds a binding's connection string."""
    name = name or STORAGE_SETTING
    if not (found := [setting for setting in (f"AzureWebJobs{name}", name) if os.environ.get(setting)]):
        raise HostError(f"the connection {name!r} of a binding is not set")
    return found[0]


def connection_string(name: str | None) -> str:
    """The connection string behind a binding's `connection`."""
    value = os.environ[connection_setting(name)]
    return azurite_connection(10_000) if value == DEVELOPMENT_STORAGE else value


def host_id(app: Path) -> str:
    """The id that hosts of one app share in storage; AzureFunctionsWebHost__hostid overrides it."""
    return os.environ.get(HOST_ID_SETTING) or f"local-{zlib.crc32(str(app).encode()):08x}"


def decode_message(text: str, base64_messages: bool) -> bytes:
    """The body of a queue message; ValueError when it must be base64 and is not. White space is skipped."""
    if not base64_messages:
        return text.encode()
    return base64.b64decode(re.sub(r"[ \t\r\n]", "", text), validate=True)


def encode_message(body: bytes, base64_messages: bool) -> str:
    """The text a queue message with this body has in storage."""
    return base64.b64encode(body).decode() if base64_messages else body.decode()
