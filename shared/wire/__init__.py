"""The wire format: JSON of requests, answers and files, to and from the objects of the domain."""
