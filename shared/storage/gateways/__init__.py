"""Gateways to Azure Table, Blob and Queue storage: ports, Azure adapters, in-memory twin, faults."""
