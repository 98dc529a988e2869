"""Programs that use Labelbridge as its users do: over HTTP, with its Python client and `azure-storage-blob`."""
