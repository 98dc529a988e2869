"""`Idempotency-Key` on every POST: the same key and body get the same answer; another body is a conflict.

Ids of jobs and revisions derive from the key, so a request whose first try died half way is simply run again. A
project that was deleted and made again shares nothing with the old one: its answers are not given for the new one.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from functions.reply import Reply
from shared.domain.errors import Conflict, InvalidArgument
from shared.domain.ids import derived_id, incarnation_of_import
from shared.storage.idempotency import Answer, Remembered

if TYPE_CHECKING:
    from functions.http import Call

MAX_KEY = 200


async def once(call: "Call", work: Callable[[], Awaitable[Reply]]) -> Reply:
    """Run the work, or give the answer that it had. Failures of ours (5xx) are not kept."""
    key = call.header("idempotency-key")
    if key is None:
        return await work()
    if not 1 <= len(key) <= MAX_KEY or not key.isprintable():
        raise InvalidArgument(
            f"An Idempotency-Key has 1 to {MAX_KEY} printable characters.", target="Idempotency-Key"
        )
    url = urlsplit(call.request.url)
    row = derived_id(call.caller.name, call.request.method, url.path, key)
    digest = hashlib.sha256(url.query.encode() + b"\0" + call.request.get_body()).hexdigest()
    store = call.container.stores.idempotency
    known = await store.begin(row, digest) or Remembered(digest)
    call.key = _salted(key, known.salt)
    if known.answer is not None:
        now = await _incarnation(call)
        if _is_of_another_project(call, known.project, now):
            known = Remembered(digest, salt=known.project or now)
            call.key = _salted(key, known.salt)
            await store.begin_again(row, digest, known.salt)
    if known.body_hash != digest:
        raise Conflict("The Idempotency-Key was used with another request.", target="Idempotency-Key")
    if known.answer is not None:
        answer = known.answer
        return Reply(answer.status, answer.body, dict(answer.headers), answer.content_type)
    reply = await work()
    if reply.status < 500:
        answer = Answer(reply.status, dict(reply.headers), reply.body(), reply.content_type)
        await store.finish(row, Remembered(digest, answer, await _incarnation(call), known.salt))
    return reply


def _salted(key: str, salt: str) -> str:
    return f"{key}\n{salt}" if salt else key  # a key holds no line break


async def _incarnation(call: "Call") -> str:
    """Of the project that the request names; "" where there is none."""
    name = call.request.route_params.get("projectName")
    project = await call.container.stores.projects.find(name) if name else None
    return project.incarnation if project else ""


def _is_of_another_project(call: "Call", told: str, now: str) -> bool:
    """Whether the project that an answer told of is gone. An import may have made it only after its answer."""
    return now not in {told, incarnation_of_import(call.job_id())}
