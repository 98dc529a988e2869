"""The files of the review page: compressed as stored, by what the browser accepts."""

import gzip
import logging

import pytest

from functions.http import warn_of_scheme
from functions.web import content_policy, page_files
from shared.runtime.container import Container
from tests.support.services import settings

SCRIPT = b"export const a = 1;\n" * 100
COMPRESSED = gzip.compress(SCRIPT)  # once: its header holds the time


@pytest.fixture
def dist(tmp_path):
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "a.js").write_bytes(SCRIPT)
    (tmp_path / "assets" / "a.js.gz").write_bytes(COMPRESSED)
    (tmp_path / "assets" / "a.js.br").write_bytes(b"brotli")
    (tmp_path / "index.html").write_bytes(b"<html>")
    return tmp_path


def test_compressed_files_belong_to_their_originals(dist):
    files = page_files(dist)
    assert set(files) == {"assets/a.js", "index.html"}
    assert files["assets/a.js"].content_type == "text/javascript; charset=utf-8"
    assert files["assets/a.js"].etag != files["index.html"].etag
    assert page_files(dist / "nothing") == {}


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("GZIP;q=0.5", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("br; q=0.0", None),
        ("deflate", None),
        ("", None),
    ],
)
def test_the_best_accepted_encoding_is_sent(dist, accepted, encoding):
    content, chosen = page_files(dist)["assets/a.js"].body(accepted)
    assert chosen == encoding
    assert content == {"br": b"brotli", "gzip": COMPRESSED, None: SCRIPT}[encoding]
    assert page_files(dist)["index.html"].body(accepted) == (b"<html>", None)


def test_the_page_may_sign_in_at_the_authority_of_the_settings_alone():
    for authority in ("https://login.microsoftonline.us", "https://login.microsoftonline.us/a/path"):
        policy = content_policy(authority)
        assert "connect-src 'self' https://login.microsoftonline.us;" in policy
        assert "frame-src https://login.microsoftonline.us;" in policy


@pytest.mark.parametrize(
    ("endpoint", "url", "proto", "warned"),
    [
        ("", "http://host/x", "https", True),
        ("", "https://host/x", "https", False),
        ("", "http://host/x", None, False),
        ("https://public", "http://host/x", "https", False),
        ("http://public", "http://host/x", "https, http", True),
        ("", "https://host/x", "gopher", False),
    ],
)
def test_the_first_request_by_another_scheme_is_warned_of_once(caplog, endpoint, url, proto, warned):
    app = Container.__new__(Container)
    app.settings = settings(**({"public_endpoint": endpoint} if endpoint else {}))
    app.warned_of_scheme = False
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            warn_of_scheme(app, url, {} if proto is None else {"x-forwarded-proto": proto})
    assert len(caplog.records) == warned
    assert not warned or "PUBLIC_ENDPOINT" in caplog.text
