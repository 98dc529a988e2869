"""HTTP: the files of the review page, and what it needs to sign a person in."""

import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from functions.call import Call, Reply
from functions.http import Routes
from shared.domain.errors import NotFound
from shared.runtime.auth import Access
from shared.wire.api import StudioConfig

routes = Routes()
DIST = Path(__file__).parent.parent / "web" / "dist"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
#: Content encodings by the ending of the file that the build stores beside the original, best first.
ENCODINGS = {"br": ".br", "gzip": ".gz"}
PREVIEW = "2023-04-15-preview"


@routes.add("GET", "studio/config.json", {200: StudioConfig}, role=Access.ANONYMOUS, versioned=False)
async def studio_config(call: Call) -> Reply:
    """Get the settings of the review page: the sign-in, and the studios that projects can be connected to."""
    settings = call.container.settings
    client = settings.entra_client_id or settings.entra_audience
    entra = settings.auth_mode != "local"
    return Reply(
        200,
        {
            "authMode": settings.auth_mode,
            "tenantId": settings.entra_tenant_id or None,
            "clientId": client or None,
            "scope": f"{settings.entra_audience}/.default" if settings.entra_audience else None,
            "authority": f"{settings.entra_authority.rstrip('/')}/{settings.entra_tenant_id}"
            if entra
            else None,
            # Without the ID of the storage account no workspace can be checked.
            "studios": ["azure-ml", "workspace"] if settings.storage_account_id else ["workspace"],
            "apiVersion": PREVIEW,
        },
        {"Cache-Control": "no-store"},
    )


@routes.add("GET", "studio/{*file}", {200: "text/html"}, role=Access.ANONYMOUS, versioned=False)
async def studio_files(call: Call) -> Reply:
    """Serve the files of the review page."""
    name = call.request.route_params.get("file") or "index.html"
    file = page_files(DIST).get(name)
    if file is None:
        built = bool(page_files(DIST))
        raise NotFound(
            "The file does not exist." if built else "The review page is not built; run 'make web'."
        )
    # Files with a hash in their name never change.
    caching = "public, max-age=31536000, immutable" if name.startswith("assets/") else "no-cache"
    policy = {"Content-Security-Policy": content_policy(call.container.settings.entra_authority)}
    headers = {**HEADERS, **policy, "Cache-Control": caching, "ETag": file.etag, "Vary": "Accept-Encoding"}
    if file.etag in (call.header("if-none-match") or ""):
        return Reply(304, headers=headers)
    content, encoding = file.body(call.header("accept-encoding") or "")
    if encoding is not None:
        headers["Content-Encoding"] = encoding
    return Reply(200, content, headers, file.content_type)


def content_policy(authority: str) -> str:
    """The Content-Security-Policy of the page, which signs people in at this authority."""
    scheme, host, *_ = urlsplit(authority)
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        f"connect-src 'self' {scheme}://{host}; frame-src {scheme}://{host}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


@routes.add("GET", "/", {302: None}, role=Access.ANONYMOUS, versioned=False)
async def home(call: Call) -> Reply:
    """Redirect to the review page."""
    return Reply(302, headers={"Location": "/studio/"})


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file; `encoded` holds its compressed content by encoding. `etag` is weak: it is that of all encodings."""

    content: bytes
    content_type: str
    etag: str
    encoded: Mapping[str, bytes]

    def body(self, accepted: str) -> tuple[bytes, str | None]:
        """The content in the best encoding that the Accept-Encoding header accepts, and that encoding."""
        names = {part.partition(";")[0].strip().lower() for part in accepted.split(",") if not _refused(part)}
        encoding = next((name for name in self.encoded if name in names), None)
        return (self.encoded[encoding], encoding) if encoding else (self.content, None)


def _refused(part: str) -> bool:
    """Whether a part of Accept-Encoding has the weight 0, as in `br;q=0`."""
    weight = part.partition(";")[2].replace(" ", "").lower()
    return weight.startswith("q=0") and not weight.strip("q=0.")


@cache
def page_files(dist: Path) -> Mapping[str, PageFile]:
    """The files by their names in URLs, read once; a request names one of them, never a path of the file system."""
    paths = {path.relative_to(dist).as_posix(): path for path in sorted(dist.rglob("*")) if path.is_file()}
    compressed = tuple(ENCODINGS.values())
    return {name: _page_file(path) for name, path in paths.items() if not name.endswith(compressed)}


def _page_file(path: Path) -> PageFile:
    content = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    text = kind.startswith("text/") or kind in {"application/javascript", "application/json", "image/svg+xml"}
    stored = {name: path.with_name(path.name + ending) for name, ending in ENCODINGS.items()}
    return PageFile(
        content,
        f"{kind}; charset=utf-8" if text else kind,
        f'W/"{hashlib.sha256(content).hexdigest()[:20]}"',
        {name: file.read_bytes() for name, file in stored.items() if file.is_file()},
    )
