"""Storage: repositories over the gateways to table, blobs and queues."""
