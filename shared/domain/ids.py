"""Ids that may be chosen before the write they name: random, or derived from what makes a repeat the same."""

import hashlib
import secrets
import uuid
from base64 import urlsafe_b64encode

_NAMESPACE = uuid.UUID("6d9ce3c2-6a5b-4f0e-9d43-0d5a4f0f7b11")


def random_id() -> str:
    """12 characters: incarnations, editions, revisions, tokens."""
    return secrets.token_urlsafe(9)


def derived_id(*parts: str) -> str:
    """12 characters that are the same for the same parts."""
    return urlsafe_b64encode(hashlib.sha256("\x1f".join(parts).encode()).digest()[:9]).decode()


def incarnation_of_import(job_id: str) -> str:
    """The incarnation of the project that an import makes, where there was none."""
    return derived_id(job_id, "incarnation")


def random_job_id() -> str:
    return str(uuid.uuid4())


def derived_job_id(*parts: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join(parts)))
