"""`Idempotency-Key` on every POST: the same key and body get the same answer; another body is a conflict.

Ids of jobs and revisions derive from the key, so a request whose first try died half way is simply run again.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from functions.reply import Reply
from shared.domain.errors import Conflict, InvalidArgument
from shared.domain.ids import derived_id
from shared.storage.idempotency import Answer

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
    call.key = key
    url = urlsplit(call.request.url)
    row = derived_id(call.caller.name, call.request.method, url.path, key)
    digest = hashlib.sha256(url.query.encode() + b"\0" + call.request.get_body()).hexdigest()
    store = call.container.stores.idempotency
    known = await store.begin(row, digest)
    if known is not None and known.body_hash != digest:
        raise Conflict("The Idempotency-Key was used with another request.", target="Idempotency-Key")
    if known is not None and known.answer is not None:
        answer = known.answer
        return Reply(answer.status, answer.body, dict(answer.headers), answer.content_type)
    reply = await work()
    if reply.status < 500:
        await store.finish(
            row, digest, Answer(reply.status, dict(reply.headers), reply.body(), reply.content_type)
        )
    return reply
