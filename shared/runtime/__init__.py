"""How the app runs: settings, the composition root, authentication and roles, telemetry, the API description."""
