"""A lasting refusal of one blob, such as an archived one, is an answer about this blob, not an outage."""

import pytest
from azure.storage.blob import StandardBlobTier
from azure.storage.blob.aio import BlobServiceClient

from shared.storage.gateways.ports import BlobUnreadable, StorageUnavailable
from shared.storage.uploads import UploadedBlobs
from tests.contract.fake_service import Scripted, fake_service
from tests.support.azurite import Azurite

ONE_BLOB = [
    (409, "BlobArchived"),
    (409, "BlobBeingRehydrated"),
    (409, "BlobUsesCustomerSpecifiedEncryption"),
    (409, "FeatureVersionMismatch"),
    (409, "LeaseIdMissing"),
    (412, "LeaseIdMissing"),
    (412, "LeaseIdMismatchWithBlobOperation"),
    (409, "InvalidBlobType"),
    (403, "EncryptionScopeDisabled"),
    (400, "InvalidUri"),
    (400, "OutOfRangeInput"),
]
ALL_BLOBS = [
    (403, "AuthorizationFailure"),
    (403, "AuthorizationSourceIPMismatch"),
    (403, "AuthenticationFailed"),
    (403, "InsufficientAccountPermissions"),
    (403, "AccountIsDisabled"),
    (403, "KeyBasedAuthenticationNotPermitted"),
    (401, "NoAuthenticationInformation"),
    (400, "InvalidAuthenticationInfo"),
    (400, "InvalidHeaderValue"),
    (409, "AccountBeingCreated"),
    (409, "ContainerBeingDeleted"),
    (409, "ContainerDisabled"),
    (409, "PublicAccessNotPermitted"),
    (429, "TooManyRequests"),
    (500, "InternalError"),
    (500, "OperationTimedOut"),
    (503, "ServerBusy"),
    (403, ""),
    (409, ""),
]
LISTED = Scripted(
    200, '<?xml version="1.0"?><EnumerationResults><Blobs /><NextMarker /></EnumerationResults>'
)

TWO = Scripted(
    200,
    '<?xml version="1.0"?><EnumerationResults><Blobs>'
    + "".join(
        f"<Blob><Name>{name}</Name><Properties><Etag>1</Etag><Content-Length>1</Content-Length>"
        "<Last-Modified>Sun, 29 Nov 2026 10:00:00 GMT</Last-Modified><BlobType>BlockBlob</BlobType>"
        "</Properties></Blob>"
        for name in ("a.txt", "b.txt")
    )
    + "</Blobs><NextMarker /></EnumerationResults>",
)


def _refusal(status: int, code: str) -> Scripted:
    return Scripted(status, "", {"x-ms-error-code": code} if code else {})


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("name", ["a.txt", "a.pdf"])
@pytest.mark.parametrize(("status", "code"), ONE_BLOB)
async def test_what_is_refused_of_one_blob_is_an_outcome_of_this_blob(
    status: int, code: str, name: str
) -> None:
    async with fake_service(_refusal(status, code), retries=0) as (clients, _):
        [reading] = await UploadedBlobs(clients.blobs).inspect_all("container", [name])
    assert reading is not None
    assert reading.rejection is not None
    assert (reading.unreadable, reading.text) == (True, None)
    assert reading.rejection.code == ("BlobLeased" if code.startswith("Lease") else code)


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize(("status", "code"), ALL_BLOBS)
async def test_what_is_refused_of_every_blob_is_an_outage(status: int, code: str) -> None:
    async with fake_service(_refusal(status, code), retries=0) as (clients, _):
        with pytest.raises(StorageUnavailable):
            await UploadedBlobs(clients.blobs).inspect("container", "a.txt")


@pytest.mark.usefixtures("client")
async def test_a_blob_that_the_app_may_not_read_in_a_container_that_it_may_list_is_one_blob() -> None:
    """A condition of a role assignment, or an access control list; where the role is missing, nothing is listed."""
    denied = _refusal(403, "AuthorizationPermissionMismatch")
    async with fake_service(denied, LISTED, retries=0) as (clients, _):
        reading = await UploadedBlobs(clients.blobs).inspect("container", "a.txt")
    assert reading is not None
    assert (reading.rejection and reading.rejection.code) == "AuthorizationPermissionMismatch"
    async with fake_service(denied, retries=0) as (clients, _):
        with pytest.raises(StorageUnavailable):
            await UploadedBlobs(clients.blobs).inspect("container", "a.txt")


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize(
    "code", ["KeyVaultEncryptionKeyNotFound", "KeyVaultAccessTokenCannotBeAcquired", "KeyVaultVaultNotFound"]
)
async def test_a_key_is_of_one_blob_where_another_blob_can_be_read(code: str) -> None:
    """An encryption scope has a key for its blobs; where the account has one, no blob can be read without it."""
    refused, other = _refusal(403, code), Scripted(200, "t", {"etag": '"1"', "content-range": "bytes 0-0/1"})
    async with fake_service(refused, TWO, other, retries=0) as (clients, service):
        reading = await UploadedBlobs(clients.blobs).inspect("container", "a.txt")
    assert reading is not None
    assert (reading.rejection and reading.rejection.code) == code
    assert service.received[-1].path.endswith("/b.txt")
    async with fake_service(refused, TWO, refused, retries=0) as (clients, _):
        with pytest.raises(StorageUnavailable) as caught:
            await UploadedBlobs(clients.blobs).inspect("container", "a.txt")
        assert not isinstance(caught.value, BlobUnreadable)


async def test_azurite_refuses_an_archived_blob(azurite: Azurite) -> None:
    async with azurite.storage() as clients:
        container = f"{clients.names.prefix}docs"
        await clients.blobs.create_container(container)
        await clients.blobs.write(container, "a.txt", b"text")
        async with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
            blob = service.get_blob_client(container, "a.txt")
            [before] = [found async for page in clients.blobs.list(container) for found in page]
            await blob.set_standard_blob_tier(StandardBlobTier.ARCHIVE)
        [listed] = [found async for page in clients.blobs.list(container) for found in page]
        assert (before.archived, listed.archived, listed.etag) == (False, True, before.etag)
        for size in (None, 10):
            with pytest.raises(BlobUnreadable) as caught:
                await clients.blobs.read(container, "a.txt", max_bytes=size)
            assert (caught.value.code, caught.value.key, caught.value.retryable) == (
                "BlobArchived",
                "a.txt",
                False,
            )
