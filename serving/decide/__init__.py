"""A payment and what is known of it in, one decision record out; no I/O."""
