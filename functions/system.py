"""HTTP: health, the API description, the caller, dead letters, and Azure operations that are not supported."""

import asyncio
import logging
from collections.abc import Awaitable
from functools import cache

from functions.call import PROJECTS, Call, P, Reply, check_version, listed
from functions.http import OPERATIONS, Routes
from shared import telemetry
from shared.domain.errors import Forbidden, NotFound, NotOffered
from shared.domain.names import WORK_QUEUE
from shared.engines.base import EngineError
from shared.runtime.auth import Access, Role, allowed
from shared.runtime.openapi import describe
from shared.storage.gateways.ports import StorageUnavailable
from shared.wire.api import EmptyList, ErrorAnswer, Health, Readiness, WhoAmI
from shared.wire.events import DeadLetterList, DeadLetterQuery, ResendBody, Resent, cloud_event
from shared.wire.json_codec import moment

routes = Routes()
log = logging.getLogger("labelbridge.health")
VERSION = "0.1.0"
_INSTEAD = {
    "deployments": "a trained model is used by autolabel jobs by its label, without a deployment; "
    "to train and deploy in Azure Language, push the project",
    "exported-models": "models stay in the storage account and are used by autolabel jobs by their label",
    ":copy": "export the project and import it under another name",
    "copy": "export the project and import it under another name",
    ":authorize-copy": "export the project and import it under another name",
    "resources": "a project belongs to the storage account of this app; there is nothing to assign",
}
_INSTEAD_GLOBAL = {
    "prebuilt-entities": "entities are learned from labels; define their categories, and label some documents",
}


#: Azure's lists that are always empty here: clients request them before anything else.
_LISTS = frozenset({"deployments", "exported-models", "resources"})
_GLOBAL_LISTS = frozenset({"deployments/resources", "prebuilt-entities"})


@routes.add("GET", "health", {200: Health}, role=Access.ANONYMOUS, versioned=False)
async def health(call: Call) -> Reply:
    """Check that the app runs and reaches its storage."""
    await call.container.stores.projects.find("-")
    return Reply(200, {"status": "healthy", "version": VERSION}, {"Cache-Control": "no-store"})


#: Seconds that a check may take.
CHECK_SECONDS = 10


@routes.add("GET", "health/ready", {200: Readiness, 503: Readiness}, role=Access.ANONYMOUS, versioned=False)
async def ready(call: Call) -> Reply:
    """Check each dependency: tables, blobs and queues of the storage account, and the settings of the default engine.

    The caller need not sign in, so nothing is called that costs money or has a quota, such as the service of an engine.
    """
    stores, app = call.container.stores, call.container

    async def engine() -> None:
        app.engines.get(app.settings.default_engine)

    checks = {
        "tables": stores.projects.find("-"),
        "blobs": stores.artifacts.exists("-"),
        "queues": stores.queues.create(WORK_QUEUE),
        "engine": engine(),
    }
    reasons = await asyncio.gather(*map(_reason, checks.values()))
    shown = [
        {"name": name, "status": "failed", "reason": reason} if reason else {"name": name, "status": "ok"}
        for name, reason in zip(checks, reasons, strict=True)
    ]
    status, text = (503, "notReady") if any(reasons) else (200, "ready")
    return Reply(status, {"status": text, "checks": shown}, {"Cache-Control": "no-store"})


async def _reason(check: Awaitable[object]) -> str:
    """Why it fails, for a person; "" when it does not."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check
    except EngineError as error:
        return str(error)
    except TimeoutError:
        return f"There was no response within {CHECK_SECONDS} seconds."
    except StorageUnavailable as error:
        log.warning("A check of the storage account failed: %s", error)
        return (
            "The storage account refuses the app." if not error.retryable else "The service does not respond."
        )
    except Exception as error:
        log.exception("A check failed.", exc_info=telemetry.without_message(error))
        return "The check failed; the log has the reason."
    return ""


@routes.add("GET", "language/openapi.json", {200: "application/json"}, role=Access.SIGNED_IN, versioned=False)
async def openapi(call: Call) -> Reply:
    """Get this description as OpenAPI 3.1."""
    return Reply(200, _description())


@cache
def _description() -> bytes:
    """The description as JSON, made once: that takes tens of milliseconds."""
    return Reply(200, describe(OPERATIONS, VERSION)).body()


@routes.add("GET", "language/whoami", {200: WhoAmI}, role=Access.SIGNED_IN, versioned=False)
async def who_am_i(call: Call) -> Reply:
    """Get the name and the roles of the caller."""
    return Reply(200, {"name": call.caller.name, "roles": sorted(call.caller.roles)})


DEAD_LETTERS = "language/events/dead-letters"
#: Dead letters that one request sends again.
MOST_RESENT = 100


@routes.add("GET", DEAD_LETTERS, {200: DeadLetterList}, role=Role.OWN)
async def list_dead_letters(call: Call, query: DeadLetterQuery) -> Reply:
    """List the events that a receiver did not accept in ten attempts."""
    found = await call.container.events.dead_letters(query.continuation_token or "", query.top + 1)
    shown = found[: query.top]
    token = shown[-1].id if len(found) > query.top else None
    values = [
        {
            "id": letter.id,
            "receiver": letter.receiver,
            "attempts": letter.attempts,
            "reason": letter.reason,
            "failedDateTime": moment(letter.at),
            "event": cloud_event(letter.event),
        }
        for letter in shown
    ]
    return listed(values, token)


@routes.add("POST", f"{DEAD_LETTERS}/:resend", {200: Resent}, role=Role.OWN)
async def resend_dead_letters(call: Call, body: ResendBody) -> Reply:
    """Send dead letters again: those with the given ids, or all, up to 100 per request."""
    return Reply(200, {"resent": await call.container.events.resend(body.ids, MOST_RESENT)})


async def _empty_list(call: Call) -> Reply:
    """Raises Forbidden, InvalidRequest and ProjectNotFound, as every list."""
    if not allowed(call.caller.roles, Role.READ):
        raise Forbidden(f"The caller '{call.caller.name}' lacks the role {Role.READ}.")
    check_version(call.request)
    if call.project_name != "global":
        await call.container.projects.get(call.project_name)
    return Reply(200, {"value": []})


def _not_offered(feature: str, instead: str) -> NotOffered:
    return NotOffered(f"Labelbridge does not support this Azure operation: {instead}.", target=feature)


# The host tries functions in the order of their names, so the names of these two catch-alls sort last.


@routes.add(
    "*",
    f"{P}/{{*rest}}",
    {200: EmptyList, 501: ErrorAnswer, 404: ErrorAnswer},
    role=Access.SIGNED_IN,
    versioned=False,
    project_names="any",
)
async def zy_not_offered(call: Call) -> Reply:
    """Answer unsupported Azure operations with an alternative, and their lists with an empty list."""
    rest = call.request.route_params.get("rest", "")
    if call.request.method == "GET" and rest in (_GLOBAL_LISTS if call.project_name == "global" else _LISTS):
        return await _empty_list(call)
    first = rest.split("/", 1)[0]
    instead = _INSTEAD | (_INSTEAD_GLOBAL if call.project_name == "global" else {})
    if first in instead:
        raise _not_offered(first, instead[first])
    if rest.endswith("/:load-snapshot") or "/load-snapshot/" in rest:
        raise NotOffered(
            "Labelbridge does not keep snapshots; export the project instead.", target="load-snapshot"
        )
    raise NotFound(f"The operation does not exist: {call.request.method} {PROJECTS}/.../{rest[:100]}.")


@routes.add("*", "language/{*rest}", {404: ErrorAnswer}, role=Access.SIGNED_IN, versioned=False)
async def zz_unknown_route(call: Call) -> Reply:
    """Answer all other addresses."""
    rest = call.request.route_params.get("rest", "")
    raise NotFound(f"The operation does not exist: {call.request.method} language/{rest[:100]}.")
