"""Use cases: what people, events and timers may ask of Labelbridge. They rest on the stores and the domain."""
