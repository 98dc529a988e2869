"""The places other than this one where people label: one protocol, two adapters."""
