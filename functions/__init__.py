"""The functions of the app: one file a feature. Each body parses, calls one use case, and answers."""
