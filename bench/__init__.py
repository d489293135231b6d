"""What the platform reaches on this machine: each figure measured on the running stack, beside target and peers."""
