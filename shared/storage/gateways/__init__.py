"""Gateways to Azure Table, Blob and Queue storage: the ports, the Azure adapters, their in-memory twin and faults."""
