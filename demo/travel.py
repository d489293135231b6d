"""Time travel: the same count at two moments of one table."""

from typing import Any

from clients import trino

HISTORY = """
    SELECT version, timestamp FROM bronze."transactions$history"
    WHERE operation IN ('WRITE', 'STREAMING UPDATE') ORDER BY version
"""
COUNT = "SELECT count(*) FROM delta.bronze.transactions"


def two_counts() -> dict[str, Any]:
    """Return the rows of Bronze after its first commit with rows and now, and the statement that anyone can paste."""
    first = trino.query(HISTORY)[0][1]
    then = f"{COUNT} FOR TIMESTAMP AS OF TIMESTAMP '{first:%Y-%m-%d %H:%M:%S.%f}'"[:-4] + " UTC'"
    return {"sql": then, "then": trino.query(then)[0][0], "now_sql": COUNT, "now": trino.query(COUNT)[0][0]}
