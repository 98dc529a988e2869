"""The Azure Functions app: registers the functions of every feature. What they rest on is built on first use."""

import azure.functions as func

from functions import (
    autolabel,
    bulk,
    categories,
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

HTTP = (
    projects, documents, review, autolabel, bulk, categories, training, transfers, connection, system, web,
)  # fmt: skip
EVENTS = (uploads, queues, timers)

# Callers are identified in code, by functions.http.
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
for feature in HTTP:
    app.register_functions(feature.routes.blueprint)
for feature in EVENTS:
    app.register_functions(feature.triggers.blueprint)
