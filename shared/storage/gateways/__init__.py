"""Gateways to Azure Table, Blob and Queue storage: ports and Azure adapters."""
