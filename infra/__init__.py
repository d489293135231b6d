"""What runs the platform: servers, their configuration and their supervisor."""
