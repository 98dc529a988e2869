"""How the app runs: settings, the composition root, who may do what, errors as answers, the API description."""
