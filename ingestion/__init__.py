"""How payments and labels get onto Kafka: simulated, replayed from a file, or sent again from dead letters.

Each room's `commands` are what the command line calls; `files` reads and maps a file, and knows nobody who sends it.
"""
