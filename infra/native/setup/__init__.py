"""What the servers are given: configuration, certificates, users and rights, and what they hold from the start."""
