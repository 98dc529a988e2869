"""What all jobs share: messages, leases, life cycle, budgets, the write fence, and the stores."""
