"""The functions of the app, one file per feature. Each parses the request, calls one use case, and responds."""
