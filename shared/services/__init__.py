"""Use cases: what people, events and timers may ask of Labelbridge. They build on the stores and the domain."""
