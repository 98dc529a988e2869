"""HTTP: health, the API description, who calls, and what Azure has and we have not."""

from functions.http import OPERATIONS, PROJECTS, Call, P, Routes
from functions.reply import Reply
from shared.domain.errors import NotFound, NotOffered
from shared.runtime.openapi import describe
from shared.wire.api import ErrorAnswer, Health, WhoAmI

routes = Routes()
VERSION = "0.1.0"
ALL_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_INSTEAD = {
    "deployments": "a trained model is used by autolabel jobs by its label; no deployment is needed",
    "exported-models": "models stay in the storage account and are used by autolabel jobs by their label",
    ":copy": "export the project and import it under another name",
    "copy": "export the project and import it under another name",
    ":authorize-copy": "export the project and import it under another name",
    "resources": "a project belongs to the storage account of this app; there is nothing to assign",
}
_INSTEAD_GLOBAL = {
    "prebuilt-entities": "entities are learned from labels; define their categories, and label some documents",
}


@routes.add("GET", "health", {200: Health}, versioned=False)
async def health(call: Call) -> Reply:
    """Tell that the app answers and reaches its storage."""
    await call.container.stores.projects.find("-")
    return Reply(200, {"status": "healthy", "version": VERSION}, {"Cache-Control": "no-store"})


@routes.add("GET", "language/openapi.json", {200: "application/json"}, versioned=False)
async def openapi(call: Call) -> Reply:
    """Get this description as OpenAPI 3.1."""
    return Reply(200, describe(OPERATIONS, VERSION))


@routes.add("GET", "language/whoami", {200: WhoAmI}, versioned=False)
async def who_am_i(call: Call) -> Reply:
    """Tell who the caller is, and what roles it has."""
    return Reply(200, {"name": call.caller.name, "roles": sorted(call.caller.roles)})


def _not_offered(feature: str, instead: str) -> NotOffered:
    return NotOffered(f"Labelbridge does not offer this operation of Azure: {instead}.", target=feature)


# The host tries functions in the order of their names, so these two, which take everything, are called last.


@routes.add("*", f"{P}/{{*rest}}", {501: ErrorAnswer, 404: ErrorAnswer}, versioned=False, methods=ALL_METHODS)
async def zy_not_offered(call: Call) -> Reply:
    """Answer operations of Azure that have no meaning here, saying what to use instead."""
    rest = call.request.route_params.get("rest", "")
    first = rest.split("/", 1)[0]
    instead = _INSTEAD | (_INSTEAD_GLOBAL if call.project_name == "global" else {})
    if first in instead:
        raise _not_offered(first, instead[first])
    if rest.endswith("/:load-snapshot") or "/load-snapshot/" in rest:
        raise NotOffered(
            "Labelbridge keeps no snapshots: export the project instead.", target="load-snapshot"
        )
    raise NotFound(f"There is no operation {call.request.method} {PROJECTS}/.../{rest[:100]}.")


@routes.add("*", "language/{*rest}", {404: ErrorAnswer}, versioned=False, methods=ALL_METHODS)
async def zz_unknown_route(call: Call) -> Reply:
    """Answer all other addresses."""
    rest = call.request.route_params.get("rest", "")
    raise NotFound(f"There is no operation {call.request.method} language/{rest[:100]}.")
