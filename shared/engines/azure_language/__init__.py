"""The engine for a custom model deployed in Azure Language, and the calls that push a project there."""
