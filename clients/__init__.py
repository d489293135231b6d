"""One module a server: it opens, bounds the wait, and turns the vendor's errors into ours, once."""
