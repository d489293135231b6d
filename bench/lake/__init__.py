"""What the lake costs: landing, freshness, Gold, the online store, the past; and lakes of any size to measure on."""
