"""What is stored and how: repositories over the gateways to table, blobs and queues."""
