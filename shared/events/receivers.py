"""Receivers of events: signed webhooks and one Event Grid topic.

A webhook is only reached where an administrator allows it. The host of its address must be in the allow list, its
name is resolved for each connection, and one internal address among the answers is enough to send nothing. Redirects
are not followed. The connection goes to the address that was checked, so a name cannot point elsewhere afterwards.
"""

import asyncio
import hashlib
import hmac
import json
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any, Final, override

from shared.domain.names import LOOPBACK, TOPIC, EventType
from shared.events.delivery import NotDelivered
from shared.wire.events import Event, cloud_event, source_of

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from aiohttp.abc import ResolveResult
    from azure.core.credentials import AzureKeyCredential
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.eventgrid.aio import EventGridPublisherClient

SIGNATURE: Final = "Labelbridge-Signature"
CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
#: Time limit of a receiver, in seconds.
SECONDS: Final = 10
#: Public addresses that lead into Azure's own network: https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
_PLATFORM: Final = IPv4Network("168.63.129.16/32")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_UNICAST: Final = IPv6Network("2000::/3")
#: Assigned for protocols, tunnels and examples (https://www.iana.org/assignments/iana-ipv4-special-registry), of which
#: ipaddress calls some global: 6to4 relays; Teredo, ORCHID and others, 6to4, examples.
_SPECIAL_4: Final = (_PLATFORM, IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))
_SPECIAL_6: Final = (IPv6Network("2001::/23"), IPv6Network("2002::/16"), IPv6Network("3fff::/20"))


@dataclass(frozen=True, slots=True)
class WebhookOptions:
    """One webhook. `secrets`: the requests are signed with each, so that one can be replaced without a gap.

    `types` and `projects` limit what is sent; empty: everything. `loopback`: this machine may be the receiver.
    """

    name: str
    url: str
    secrets: tuple[str, ...]
    types: frozenset[EventType] = frozenset()
    projects: frozenset[str] = frozenset()
    loopback: bool = False


def is_internal(text: str) -> bool:
    """Whether an address is anything but a global unicast one, also where IPv6 stands for an address of IPv4.

    Raises ValueError for what is no address.
    """
    address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        nat64 = IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
        inner = address.ipv4_mapped or nat64
        if inner is None:
            special = any(address in network for network in _SPECIAL_6)
            return special or address not in _UNICAST or not address.is_global
        address = inner
    special = any(address in network for network in _SPECIAL_4)
    return special or address.is_multicast or not address.is_global


def signature(secrets: Sequence[str], at: int, body: bytes) -> str:
    """`t=SECONDS,v1=HEX`: HMAC-SHA256 with each secret over the time, a period, and the body as it is sent."""
    signed = f"{at}.".encode() + body
    digests = (hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets)
    return ",".join((f"t={at}", *(f"v1={digest}" for digest in digests)))


class InternalAddress(OSError):
    """The name of a webhook's host resolves to an address that is not on the public internet."""


type Resolve = Callable[[str, int], Any]


class Webhook:
    """One address that events are posted to, one event a request."""

    def __init__(
        self, options: WebhookOptions, clock: Callable[[], datetime], resolve: Resolve | None = None
    ) -> None:
        self._options = options
        self._clock = clock
        self._resolve = resolve
        self._session: ClientSession | None = None

    @property
    def name(self) -> str:
        return self._options.name

    def wants(self, event: Event) -> bool:
        types, projects = self._options.types, self._options.projects
        return (not types or event.type in types) and (not projects or event.project in projects)

    async def send(self, event: Event) -> None:
        """Raises NotDelivered unless the answer is 200 to 299."""
        import aiohttp

        body = json.dumps(cloud_event(event), ensure_ascii=False, separators=(",", ":")).encode()
        signed = signature(self._options.secrets, int(self._clock().timestamp()), body)
        headers = {"Content-Type": CONTENT_TYPE, SIGNATURE: signed, "User-Agent": "Labelbridge"}
        self._refuse_literal()
        try:
            async with self._opened().post(
                self._options.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                status = answer.status
        except TimeoutError:
            raise NotDelivered(f"The receiver did not answer within {SECONDS} seconds.") from None
        except (aiohttp.ClientError, OSError) as error:
            raise NotDelivered(_reason(error)) from None
        if 300 <= status < 400:
            raise NotDelivered(f"The receiver answered {status}; redirects are not followed.")
        if not 200 <= status < 300:
            raise NotDelivered(f"The receiver answered {status}.")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _refuse_literal(self) -> None:
        """An address in place of a name is not resolved. yarl reads it as aiohttp will, as with full-width digits."""
        from yarl import URL

        host = URL(self._options.url).host or ""
        try:
            internal = is_internal(host)
        except ValueError:
            return
        if internal and not (self._options.loopback and host in LOOPBACK):
            raise NotDelivered("The receiver's address is internal; nothing was sent.")

    def _opened(self) -> "ClientSession":
        from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

        if self._session is None:
            resolver = _checked_resolver(self._options.loopback, self._resolve)
            self._session = ClientSession(
                connector=TCPConnector(resolver=resolver, use_dns_cache=False, limit=20),
                cookie_jar=DummyCookieJar(),
                timeout=ClientTimeout(total=SECONDS),
                trust_env=False,
            )
        return self._session


def _reason(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, InternalAddress):
            return "The receiver's host name resolves to an internal address; nothing was sent."
        cause = cause.__cause__ or cause.__context__
    return f"The receiver cannot be reached ({type(error).__name__})."


def _checked_resolver(loopback: bool, resolve: Resolve | None) -> Any:
    """A resolver for aiohttp that refuses internal addresses."""
    from aiohttp.abc import AbstractResolver

    class CheckedResolver(AbstractResolver):
        @override
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> "list[ResolveResult]":
            found = await (resolve or _addresses)(host, port)
            addresses: list[str] = list(dict.fromkeys(found))
            own = loopback and host in LOOPBACK
            if not own and any(is_internal(address) for address in addresses):
                raise InternalAddress(host)
            return [_resolved(host, port, address) for address in addresses]

        @override
        async def close(self) -> None:
            return

    return CheckedResolver()


async def _addresses(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def _resolved(host: str, port: int, address: str) -> "ResolveResult":
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return {"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": flags}


class Topic:
    """A custom topic of Event Grid whose input schema is CloudEvents; its subscriptions choose what they get."""

    def __init__(
        self, endpoint: str, credential: "Callable[[], AzureKeyCredential | AsyncTokenCredential]"
    ) -> None:
        self._endpoint = endpoint
        self._credential = credential
        self._client: EventGridPublisherClient | None = None

    @property
    def name(self) -> str:
        return TOPIC

    def wants(self, event: Event) -> bool:
        return True

    async def send(self, event: Event) -> None:
        """Raises NotDelivered."""
        from azure.core.exceptions import AzureError, HttpResponseError
        from azure.core.messaging import CloudEvent

        given: Mapping[str, Any] = cloud_event(event)
        sent: Any = CloudEvent(
            source_of(event), event.type.value, id=event.id, subject=event.subject, time=event.time,
            data=given["data"], datacontenttype=given["datacontenttype"],
        )  # fmt: skip
        try:
            await self._opened().send([sent])  # pyright: ignore[reportUnknownMemberType] - its type names Unknown
        except HttpResponseError as error:
            raise NotDelivered(f"Event Grid answered {error.status_code or 'with an error'}.") from None
        except AzureError as error:
            raise NotDelivered(f"Event Grid cannot be reached ({type(error).__name__}).") from None

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _opened(self) -> "EventGridPublisherClient":
        from azure.eventgrid.aio import EventGridPublisherClient

        if self._client is None:
            # Attempts are ours, with their pauses; one within an attempt would only take longer. A redirect would take
            # events and the key, which is in a header of the service's own, to another server.
            self._client = EventGridPublisherClient(
                self._endpoint,
                self._credential(),
                retry_total=0,
                permit_redirects=False,
                connection_timeout=SECONDS,
                read_timeout=SECONDS,
            )
        return self._client
