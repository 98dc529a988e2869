"""What an event of the storage account names, also in an account with a hierarchical namespace."""

import json
from typing import Any

import azure.functions as func
import pytest
from azure.functions.eventgrid import EventGridEventInConverter
from azure.functions.meta import Datum

from shared.runtime.settings import load_settings
from tests.support import events

with pytest.MonkeyPatch.context() as patched:  # the bindings take names from the settings
    patched.setenv("AzureWebJobsStorage", "UseDevelopmentStorage=true")
    from functions.background import Place, places_of
load_settings.cache_clear()

ACCOUNT = "devstoreaccount1"
DFS = f"https://{ACCOUNT}.dfs.core.windows.net"
BLOB = f"https://{ACCOUNT}.blob.core.windows.net"


def places(kind: str, container: str, name: str, **data: Any) -> list[Place]:
    event = events.event(f"Microsoft.Storage.{kind}", container, name, data=data)
    decoded: Any = EventGridEventInConverter.decode(Datum(json.dumps(event), "json"), trigger_metadata=None)
    found = places_of(decoded, ACCOUNT)
    cloud = events.cloud_event(f"Microsoft.Storage.{kind}", container, name, data=data)
    wrapped = func.CloudEvent(
        **{key: cloud[key] for key in ("id", "source", "type", "subject", "specversion", "data")}
    )
    assert places_of(wrapped, ACCOUNT) == found
    return found


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        (f"{DFS}/target/old.txt", [Place("target", "old.txt")]),
        (f"{DFS}/source/dir/a.txt", [Place("source", "dir/a.txt")]),
        (f"{DFS}/source/target/a.txt", [Place("source", "target/a.txt")]),
        (f"{DFS}/source/a%20b%25.txt", [Place("source", "a b%.txt")]),
        (f"http://127.0.0.1:10000/{ACCOUNT}/source/a.txt", [Place("source", "a.txt")]),
        ("https://other.dfs.core.windows.net/source/a.txt", []),
        (f"https://other.example/{ACCOUNT}/source/a.txt", []),
        ("http://127.0.0.1:10000/other/source/a.txt", []),
        (f"{DFS}/source", []),
        (f"{DFS}/source/{'a' * 1_025}", []),
        ("http://[bad", []),
        (7, []),
        (None, []),
    ],
)
def test_a_rename_names_its_source_where_it_was(source: Any, wanted: list[Place]) -> None:
    assert places("BlobRenamed", "target", "n.txt", api="RenameFile", sourceUrl=source) == [
        Place("target", "n.txt"),
        *wanted,
    ]


def test_a_directory_is_a_folder_with_all_in_it() -> None:
    renamed = {"sourceUrl": f"{DFS}/old-fs/a/old", "destinationUrl": f"{DFS}/fs/b/new"}
    assert places("DirectoryRenamed", "fs", "b/new", api="RenameDirectory", **renamed) == [
        Place("fs", "b/new/", folder=True),
        Place("old-fs", "a/old/", folder=True),
    ]
    for name in ("dir", "dir/"):
        deleted = {"api": "DeleteDirectory", "url": f"{DFS}/fs/dir", "recursive": "true"}
        assert places("DirectoryDeleted", "fs", name, **deleted) == [Place("fs", "dir/", folder=True)]
    assert places("DirectoryCreated", "fs", "dir", api="CreateDirectory") == []


@pytest.mark.parametrize("name", ["", "/", "//"])
def test_no_event_names_the_whole_container_as_a_folder(name: str) -> None:
    assert places("DirectoryDeleted", "fs", name, api="DeleteDirectory") == []


def test_a_file_has_content_when_it_was_closed() -> None:
    made, closed = places("BlobCreated", "fs", "a.txt", api="CreateFile"), {"contentLength": 4}
    assert made == []
    for api in ("FlushWithClose", "PutBlob", "PutBlockList", "CopyBlob", None):
        assert places("BlobCreated", "fs", "a.txt", api=api, **closed) == [Place("fs", "a.txt")]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (f"{BLOB}/docs/tasks_%F0%9F%92%8E.txt", "tasks_\U0001f48e.txt"),
        (f"{BLOB}/docs/tasks_\U0001f48e.txt", "tasks_\U0001f48e.txt"),
        (f"http://127.0.0.1:1/{ACCOUNT}/docs/tasks_%F0%9F%92%8E.txt", "tasks_\U0001f48e.txt"),
        # The subject stays where the address is of another account or container, or none.
        ("https://other.blob.core.windows.net/docs/tasks_%F0%9F%92%8E.txt", "tasks_\ufffd\ufffd.txt"),
        (f"{BLOB}/other/tasks_%F0%9F%92%8E.txt", "tasks_\ufffd\ufffd.txt"),
        ("http://169.254.169.254/docs/x", "tasks_\ufffd\ufffd.txt"),
        (None, "tasks_\ufffd\ufffd.txt"),
    ],
)
def test_a_subject_that_lost_characters_is_read_off_the_address(url: str | None, name: str) -> None:
    for kind in ("BlobCreated", "BlobDeleted"):
        assert places(kind, "docs", "tasks_\ufffd\ufffd.txt", url=url) == [Place("docs", name)]
    assert places("BlobRenamed", "docs", "tasks_\ufffd\ufffd.txt", destinationUrl=url) == [
        Place("docs", name)
    ]
    assert places("DirectoryDeleted", "docs", "tasks_\ufffd\ufffd.txt", url=url) == [
        Place("docs", f"{name}/", folder=True)
    ]


def test_a_whole_subject_is_taken_whatever_the_address_says() -> None:
    assert places("BlobCreated", "docs", "a.txt", url=f"{BLOB}/docs/b.txt") == [Place("docs", "a.txt")]
