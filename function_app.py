"""The Azure Functions app: registers the functions of every feature. What they rest on is built on first use.

With invalid settings only HTTP functions are registered, which answer 503 with what is wrong: the host stops an app
that fails while it is imported, and hides the reason. Messages stay in their queues, and Event Grid tries again.
"""

import logging

import azure.functions as func

from functions import (
    autolabel,
    connection,
    documents,
    projects,
    review,
    system,
    team,
    training,
    transfers,
    web,
)
from shared.runtime.settings import InvalidSettings, load_settings
from shared.runtime.telemetry import start as start_telemetry

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)  # functions.http identifies callers
for feature in (
    projects, documents, review, autolabel, training, transfers, connection, team, system, web,
):  # fmt: skip
    app.register_functions(feature.routes.blueprint)
try:
    start_telemetry(load_settings())
except InvalidSettings as error:
    logging.getLogger("labelbridge").error("%s", error.message)  # noqa: TRY400 - the trace says nothing more
else:
    from functions import background  # its bindings take names from the settings

    app.register_functions(background.triggers.blueprint)
