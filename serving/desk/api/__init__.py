"""HTTP over alerts, decisions and statistics, for consoles and programs."""
