"""Security tests use the session's host, and the authenticator by itself."""

from tests.support.azurite import azurite
from tests.support.hosts import host

__all__ = ["azurite", "host"]
