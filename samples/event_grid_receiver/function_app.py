"""A function that Event Grid calls for each event of a custom topic; it drops repeats by their id.

Deploy it as an app of its own, and subscribe it to the topic that EVENTS_TOPIC_ENDPOINT names, with the event schema
*Cloud Event Schema v1.0*. The ids are rows of a table, so that they are shared by all instances.
"""

import logging
import os

import azure.functions as func
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableServiceClient

app = func.FunctionApp()
log = logging.getLogger("receiver")


@app.event_grid_trigger(arg_name="event")
def labelbridge_event(event: func.CloudEvent) -> None:
    """Handle an event, unless it was handled before."""
    connection = os.environ["AzureWebJobsStorage"]  # noqa: SIM112 - as the host spells it
    with TableServiceClient.from_connection_string(connection) as service:
        seen = service.create_table_if_not_exists("handledevents")
        try:
            seen.get_entity(event.type, event.id)
        except ResourceNotFoundError:
            handle(event)
            # Only now: an event that is interrupted before arrives again. Two that arrive at once are both handled.
            seen.upsert_entity({"PartitionKey": event.type, "RowKey": event.id})
        else:
            log.warning("Repeated %s %s", event.type, event.id)


def handle(event: func.CloudEvent) -> None:
    """The work; here only a line in the log."""
    log.warning("Received %s %s %s", event.type, event.id, event.get_json())
