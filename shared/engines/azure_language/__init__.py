"""A custom model deployed in Azure Language, as an engine, and the service's side of pushing a project there."""
