"""`labelbridge upload`: the text files of a folder become blobs of the project's container.

The API has no operation for that: documents are read from the storage account, so uploading needs access to it.
"""

import hashlib
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from labelbridge.cli import config as settings
from labelbridge.cli import session
from labelbridge.cli.output import (
    PARTLY,
    JsonOption,
    NotThere,
    Output,
    Stop,
    Unreachable,
    Usage,
    counted,
    safe,
)
from labelbridge.cli.session import ProjectOption, bar

MAX_CHARACTERS = 128_000
AT_ONCE = 8
#: Reasons that are listed one by one; the rest is counted.
SHOWN = 10


@dataclass(frozen=True, slots=True)
class Found:
    """A file of the folder: its name as a blob, and why it cannot be a document, if so."""

    name: str
    path: Path
    error: str = ""


def files_below(folder: Path) -> list[Found]:
    """The files below a folder in the order of their names, without hidden ones. Raises Usage."""
    if not folder.is_dir():
        raise Usage(f"'{folder}' is not a folder.")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    shown = [path for path in files if not any(p.startswith(".") for p in path.relative_to(folder).parts)]
    return [Found(path.relative_to(folder).as_posix(), path, _file_error(path, folder)) for path in shown]


def _file_error(path: Path, folder: Path) -> str:
    """The same rules as the app's, so that nobody waits for a rejection.

    A link that leads out of the folder is left out: who made the folder could have any file of this machine uploaded.
    """
    if path.suffix.lower() != ".txt":
        return "only .txt files can be documents"
    try:
        str(path.relative_to(folder)).encode()
        if not path.resolve().is_relative_to(folder.resolve()):
            return "it is a link to a file outside the folder"
        return _content_error(path)
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"


def _content_error(path: Path) -> str:
    size = path.stat().st_size
    if size == 0:
        return "the file is empty"
    if size > 4 * MAX_CHARACTERS + 3:
        return f"the file has {size:,} bytes; a document has at most {MAX_CHARACTERS:,} characters"
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return f"the file is not UTF-8 (byte {error.start})"
    if not text:
        return "the file is empty"
    long = len(text) > MAX_CHARACTERS
    return f"the text has {len(text):,} characters; at most {MAX_CHARACTERS:,} are allowed" if long else ""


@contextmanager
def storage_errors(container: str) -> Generator[None]:
    """Errors of the storage account as sentences."""
    from azure.core.exceptions import (
        AzureError,
        ClientAuthenticationError,
        HttpResponseError,
        ServiceRequestError,
    )

    try:
        yield
    except ServiceRequestError as error:
        raise Unreachable(
            f"The storage account cannot be reached ({_first_line(error)}). Check the value of --storage."
        ) from error
    except (ClientAuthenticationError, HttpResponseError) as error:
        status = getattr(error, "status_code", None)
        if status == 404:
            raise NotThere(
                f"The container '{container}' does not exist. Create it with --create-container."
            ) from error
        if status in {401, 403} or isinstance(error, ClientAuthenticationError):
            raise Denied(
                f"The storage account refused the upload ({_first_line(error)}). Writing needs a connection string, "
                "a SAS URL, or the role Storage Blob Data Contributor."
            ) from error
        raise Stop(f"The storage account answered: {_first_line(error)}") from error
    except AzureError as error:
        raise Unreachable(f"The storage account did not answer: {_first_line(error)}") from error


class Denied(Stop):
    """The storage account refused the caller."""

    status = 4


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__


def container_client(storage: str, name: str) -> Any:
    """The container in the storage account that the caller named. Raises Usage."""
    from azure.storage.blob import BlobServiceClient

    if not storage:
        raise Usage(
            "Files are uploaded to the storage account, not through the app: name it with --storage or "
            "LABELBRIDGE_STORAGE, as a connection string, a SAS URL, or the URL of the account."
        )
    # Before retry n the SDK waits for the initial back-off plus the base to the power of n, more or less by the jitter:
    # 3, 5 and 9 seconds. A refused connection is retried twice, so it is reported within 10 seconds. The SDK's own
    # delays add up to a minute and a half.
    tries: dict[str, Any] = {"retry_total": 3, "retry_connect": 2, "connection_timeout": 10}
    tries |= {"initial_backoff": 1, "increment_base": 2, "random_jitter_range": 0.5}
    try:
        if not storage.startswith(("http://", "https://")):
            service = BlobServiceClient.from_connection_string(storage, **tries)
        else:
            signed = "sig=" in storage
            service = BlobServiceClient(storage, None if signed else session.entra_credential(), **tries)
    except ValueError as error:
        raise Usage(f"The storage is not a connection string or a URL: {error}") from error
    return service.get_container_client(name)


def upload(
    folder: Annotated[
        Path, typer.Argument(help="Folder with .txt files; subfolders become part of the names.")
    ],
    project: ProjectOption = "",
    prefix: Annotated[str, typer.Option(help="Prefix for each name, such as 'inbox/'.")] = "",
    storage: Annotated[
        str,
        typer.Option(help="Connection string, SAS URL or URL of the storage account.", show_default=False),
    ] = "",
    create_container: Annotated[
        bool, typer.Option("--create-container", help="Create a missing container.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the project has registered the documents.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be uploaded.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Upload the text files of a folder.

    They go to the project's container, directly in the storage account that --storage or LABELBRIDGE_STORAGE names.
    Files that are there already with the same content are not uploaded again.
    """
    out = Output(as_json)
    found = files_below(folder)
    good = [file for file in found if not file.error]
    with session.project(out, project) as api:
        container = api.get()["storageInputContainerName"]
        given = storage or settings.load().storage
        done: list[str] = []
        unchanged: list[str] = []
        failed: dict[str, str] = {}
        with storage_errors(container):
            blobs = container_client(given, container)
            if create_container and not dry_run and not blobs.exists():
                blobs.create_container()
            hashes = {
                blob.name: blob.content_settings.content_md5 for blob in blobs.list_blobs(prefix or None)
            }
            new = [file for file in good if hashes.get(prefix + file.name) != _digest(file.path)]
            unchanged = [file.name for file in good if file not in new]
            if not dry_run:
                try:
                    done, failed = _send(out, blobs, new, prefix)
                except KeyboardInterrupt:
                    out.say("Files uploaded so far stay; run the same command again to upload the others.")
                    raise
        if wait and not dry_run:
            session.follow(out, api.scan(), "Registering the documents", project=project)
    left_out = {file.name: file.error for file in found if file.error} | failed
    data = {
        "project": api.name, "container": container, "uploaded": sorted(prefix + name for name in done),
        "unchanged": [prefix + name for name in unchanged], "leftOut": left_out,
    }  # fmt: skip
    if dry_run:
        data["wouldUpload"] = [prefix + file.name for file in new]
    _report(out, left_out)
    sent = (
        f"Would upload {counted(len(new), 'file')}" if dry_run else f"Uploaded {counted(len(done), 'file')}"
    )
    out.result(data, f"{sent} to '{container}'; {len(unchanged):,} unchanged, {len(left_out):,} left out.")
    if failed or any(name.lower().endswith(".txt") for name in left_out):
        raise SystemExit(PARTLY)


def _digest(path: Path) -> bytearray:
    return bytearray(hashlib.md5(path.read_bytes(), usedforsecurity=False).digest())


def _send(out: Output, blobs: Any, files: list[Found], prefix: str) -> tuple[list[str], dict[str, str]]:
    """(names of uploaded files, reasons of the others)."""
    from azure.core.exceptions import HttpResponseError
    from azure.storage.blob import ContentSettings

    def send(file: Found) -> str:
        data = file.path.read_bytes()
        digest = bytearray(hashlib.md5(data, usedforsecurity=False).digest())
        content = ContentSettings(content_type="text/plain; charset=utf-8", content_md5=digest)
        blobs.upload_blob(prefix + file.name, data, overwrite=True, content_settings=content)
        return file.name

    done: list[str] = []
    failed: dict[str, str] = {}
    with bar(out) as progress, ThreadPoolExecutor(AT_ONCE) as pool:
        task = progress.add_task("Uploading", total=len(files) or 1)
        try:
            waiting = {pool.submit(send, file): file for file in files}
            for future in as_completed(waiting):
                try:
                    done.append(future.result())
                except HttpResponseError as error:
                    if error.status_code in {401, 403, 404}:  # it holds for every file
                        raise
                    failed[waiting[future].name] = _first_line(error)
                except OSError as error:
                    failed[waiting[future].name] = str(error)
                progress.advance(task)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return done, failed


def _report(out: Output, left_out: dict[str, str]) -> None:
    for name, reason in list(left_out.items())[:SHOWN]:
        out.say(f"Left out {safe(name)}: {reason}.")
    if len(left_out) > SHOWN:
        out.say(f"... and {len(left_out) - SHOWN:,} more.")
