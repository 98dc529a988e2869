"""Training, trained models and their evaluation."""
