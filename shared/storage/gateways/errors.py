"""What can go wrong at the storage gateways.

StorageError
├── RowExists            409: the row to insert is there already
├── RowChanged           412: the row is not at the etag that was named
├── RowMissing           404: the row to replace, merge or delete is not there
├── TooLarge             over a limit of the service; refused before it is sent
├── BadKey               a key that the service cannot hold; refused before it is sent
├── BlobExists           409: the blob to create is there already
├── BlobChanged          412: the blob is not at the etag that was named, or is gone
├── BlobLeased           409 or 412: somebody else holds the lease
├── ContainerMissing     404: there is no such container
└── StorageUnavailable   5xx, throttled, timed out or not reached after the SDK's retries; refused credentials
"""


class StorageError(Exception):
    """The storage account refused or failed a call.

    `key` is the RowKey or the name of the blob or container, `index` the position of the operation in its
    transaction; both are None where the failure belongs to no single operation.
    """

    retryable = False

    def __init__(self, message: str = "", *, key: str | None = None, index: int | None = None) -> None:
        self.key = key
        self.index = index
        super().__init__(message or (type(self).__doc__ or "").strip())


class RowExists(StorageError):
    """The row exists already."""


class RowChanged(StorageError):
    """The row was changed since it was read."""


class RowMissing(StorageError):
    """The row does not exist."""


class TooLarge(StorageError):
    """The request is larger than the service takes."""


class BadKey(StorageError):
    """The key holds a character that the service does not take, or is too long."""


class BlobExists(StorageError):
    """The blob exists already."""


class BlobChanged(StorageError):
    """The blob was changed or deleted since it was read."""


class BlobLeased(StorageError):
    """Somebody else holds a lease on the blob."""


class ContainerMissing(StorageError):
    """The container does not exist."""


class StorageUnavailable(StorageError):
    """The storage account did not answer, or answered with a failure of its own.

    `retryable` is False where trying again cannot help (credentials refused).
    """

    def __init__(
        self, message: str = "", *, key: str | None = None, index: int | None = None, retryable: bool = True
    ) -> None:
        super().__init__(message, key=key, index=index)
        self.retryable = retryable
