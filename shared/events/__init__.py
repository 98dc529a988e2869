"""Outgoing events: delivery to an Event Grid topic and to webhooks, retries, and dead letters."""
