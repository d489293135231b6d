"""How the running stack is: conditions that are asked for, the table that people read, small notes."""
