"""The online store: profiles, windows, notes and kept answers in Redis behind a breaker; what fills and checks it."""
