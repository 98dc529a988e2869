"""Programs that use Labelbridge as its users do: over HTTP, with `httpx` and `azure-storage-blob` alone."""
