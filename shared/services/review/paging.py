"""Continuation tokens: keyset positions, signed with the query that they belong to, refused for any other."""

import hmac
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from hashlib import sha256

from shared.domain.errors import InvalidArgument
from shared.domain.jobs import Job
from shared.domain.project import Project

_TOKEN = re.compile("[A-Za-z0-9_-]+")

type Key = tuple[int | str, ...]


def make_token(position: Key, project: Project, query: object) -> str:
    body = json.dumps(position).encode()
    return urlsafe_b64encode(_sign(body, project, query) + body).decode().rstrip("=")


def read_token(token: str, project: Project, query: object) -> Key:
    """The position. Raises InvalidArgument when the token was altered, or belongs to another query or project."""
    fault = InvalidArgument(
        "The continuationToken belongs to a different query; repeat the query that returned it.",
        target="continuationToken",
    )
    if not _TOKEN.fullmatch(token):  # the decoder passes over what is no letter of its alphabet
        raise fault
    try:
        data = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError as error:
        raise fault from error
    signature, body = data[:16], data[16:]
    if not hmac.compare_digest(signature, _sign(body, project, query)):
        raise fault
    return tuple(json.loads(body))


def paginate[T](
    items: Sequence[T], key: Callable[[T], Key], top: int, token: str | None, project: Project, query: object
) -> tuple[list[T], str | None]:
    """The items of one answer in the order of `key`, which no two share, and the token of the next answer."""
    after = read_token(token, project, query) if token else None
    rest = sorted((item for item in items if after is None or key(item) > after), key=key)
    shown = rest[:top]
    return shown, make_token(key(shown[-1]), project, query) if len(rest) > top else None


def newest_first(job: Job) -> Key:
    """The key of lists of jobs."""
    return -int(job.created.timestamp() * 1_000_000), job.id


def _sign(body: bytes, project: Project, query: object) -> bytes:
    """The incarnation never leaves the service, so it can be the secret."""
    text = json.dumps([project.name, project.edition, str(query)]).encode()
    return hmac.digest(project.incarnation.encode(), text + b"\0" + body, sha256)[:16]
