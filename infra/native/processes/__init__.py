"""The services as processes of one supervisor: what each is, waits for and becomes."""
