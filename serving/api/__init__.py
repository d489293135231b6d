"""The HTTP door: a payment in, its decision out."""
