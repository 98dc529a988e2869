"""The triggers of azure-functions, with complete types and what all of ours have in common."""

from collections.abc import Awaitable, Callable
from typing import Any

import azure.functions as func

CONNECTION = "AzureWebJobsStorage"

type Body = Callable[[Any], Awaitable[None]]


class Triggers:
    """The event-driven functions of one file, on a blueprint. The body's parameter name is the binding's."""

    def __init__(self) -> None:
        self.blueprint: Any = func.Blueprint()

    def queue(self, queue: str) -> Callable[[Body], Body]:
        """A message of our queue (its name without the prefix)."""
        return self._register(
            lambda: self.blueprint.queue_trigger(
                arg_name="message", queue_name=f"%TABLE_PREFIX%-{queue}", connection=CONNECTION
            )
        )

    def timer(self, setting: str) -> Callable[[Body], Body]:
        """A moment of the schedule in a setting."""
        return self._register(
            lambda: self.blueprint.timer_trigger(arg_name="timer", schedule=f"%{setting}%", use_monitor=True)
        )

    def blob(self, path: str) -> Callable[[Body], Body]:
        """A blob that was written, as Event Grid tells it."""
        return self._register(
            lambda: self.blueprint.blob_trigger(
                arg_name="client", path=path, connection=CONNECTION, source=func.BlobSource.EVENT_GRID
            )
        )

    def event(self) -> Callable[[Body], Body]:
        """An event of an Event Grid subscription."""
        return self._register(lambda: self.blueprint.event_grid_trigger(arg_name="event"))

    def _register(self, trigger: Callable[[], Any]) -> Callable[[Body], Body]:
        def register(body: Body) -> Body:
            self.blueprint.function_name(body.__name__)(trigger()(body))
            return body

        return register
