"""The Azure Functions app: registers the functions of every feature. What they rest on is built on first use."""

import azure.functions as func

from functions import (
    autolabel,
    bulk,
    connection,
    documents,
    projects,
    queues,
    review,
    system,
    timers,
    training,
    transfers,
    uploads,
    web,
)

app = func.FunctionApp(
    http_auth_level=func.AuthLevel.ANONYMOUS
)  # callers are identified in code, by functions.http

for blueprint in (
    projects.routes.blueprint,
    documents.routes.blueprint,
    review.routes.blueprint,
    autolabel.routes.blueprint,
    bulk.routes.blueprint,
    training.routes.blueprint,
    transfers.routes.blueprint,
    connection.routes.blueprint,
    system.routes.blueprint,
    web.routes.blueprint,
    uploads.triggers.blueprint,
    queues.triggers.blueprint,
    timers.triggers.blueprint,
):
    app.register_functions(blueprint)
