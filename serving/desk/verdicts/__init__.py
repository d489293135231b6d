"""What investigators say of payments: kept, sent as labels, cleared cards."""
