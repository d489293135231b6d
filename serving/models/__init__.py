"""Champion and challenger: watched in MLflow, verified, kept on disk."""
