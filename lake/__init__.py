"""Table names and places, the catalog's registration, reads straight from Delta, and the balance of counts."""
