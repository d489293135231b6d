"""Time travel: the same count at two moments of one table."""

from typing import Any

from clients import trino

HISTORY = "SELECT min(version) FROM delta.bronze.\"transactions$history\" WHERE operation <> 'CREATE TABLE'"
COUNT = "SELECT count(*) FROM delta.bronze.transactions"


def two_counts() -> dict[str, Any]:
    """Return the rows of Bronze after its first commit with rows and now, and the statement that anyone can paste."""
    then = f"{COUNT} FOR VERSION AS OF {trino.query(HISTORY)[0][0]}"
    return {"sql": then, "then": trino.query(then)[0][0], "now_sql": COUNT, "now": trino.query(COUNT)[0][0]}
