"""The feature writer: the newest published day of Gold into Redis, and the count of the one against the other."""
