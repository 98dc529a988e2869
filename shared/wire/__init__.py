"""The wire format: JSON of requests, responses and files, to and from domain objects."""
