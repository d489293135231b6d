"""What a decision knew, beside what Bronze and Gold say that it should have known: each feature, and why it differs."""
