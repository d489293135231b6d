"""What the machine must have, tried before anything is fetched, and the Python environment; standard library alone."""
