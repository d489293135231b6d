"""How payments and labels get onto Kafka: simulated, replayed from a file, or sent again from dead letters.

`simulation`, `replaying` and `lettering` are the commands; what they use is named for the thing it makes.
"""
