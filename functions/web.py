"""HTTP: the files of the review page, and what it needs to sign a person in."""

import mimetypes
from pathlib import Path

from functions.http import Call, Routes
from functions.reply import Reply
from shared.domain.errors import NotFound
from shared.wire.api import StudioConfig

routes = Routes()
DIST = Path(__file__).parent.parent / "web" / "dist"
SIGN_IN = "https://login.microsoftonline.com"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        f"connect-src 'self' {SIGN_IN}; frame-src {SIGN_IN}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
PREVIEW = "2023-04-15-preview"


@routes.add("GET", "studio/config.json", {200: StudioConfig}, versioned=False)
async def studio_config(call: Call) -> Reply:
    """Tell the review page how people sign in."""
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
            "apiVersion": PREVIEW,
        },
        {"Cache-Control": "no-store"},
    )


@routes.add("GET", "studio/{*file}", {200: "text/html"}, versioned=False)
async def studio_files(call: Call) -> Reply:
    """Serve the files of the review page."""
    return _file(call.request.route_params.get("file") or "index.html")


def _file(name: str) -> Reply:
    path = (DIST / name).resolve()
    if not path.is_relative_to(DIST.resolve()) or not path.is_file():
        built = (DIST / "index.html").is_file()
        raise NotFound("There is no such file." if built else "The review page is not built; run 'make web'.")
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    text = kind.startswith("text/") or kind in {"application/javascript", "application/json", "image/svg+xml"}
    # Files with a hash in their name never change.
    cache = "public, max-age=31536000, immutable" if name.startswith("assets/") else "no-cache"
    content_type = f"{kind}; charset=utf-8" if text else kind
    return Reply(200, path.read_bytes(), {**HEADERS, "Cache-Control": cache}, content_type)
