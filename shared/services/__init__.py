"""Use cases of people, events and timers. They use the stores and the domain."""
