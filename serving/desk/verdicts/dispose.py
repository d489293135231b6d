"""Dispositions: what an investigator says of payments, kept in PostgreSQL first, then told to everybody as labels.

The row is committed before its labels are sent, with the time that they carry: whoever sends them again (a repeated
POST, the sink after an outage of Kafka) sends the same events, which Silver knows.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

from psycopg.types.json import Jsonb

from clients.postgres import AsyncConnection
from contracts.topics import LABELS
from errors import ServerError
from serving.desk.api import queries
from serving.desk.api.models import Disposed, Disposition, PaymentId
from serving.desk.database import History
from serving.desk.sink.writing import LOCK_CHANGES
from serving.desk.verdicts import clearing, labels
from serving.desk.verdicts.sender import Sender
from serving.http.problems import ProblemError
from serving.principals.principal import Principal

log = logging.getLogger(__name__)
Row = dict[str, Any]
ONCE: LiteralString = """
    SELECT DISTINCT ON (source, transaction_id) source, transaction_id, verdict, alert_id, reasons FROM decisions"""
FIRST: LiteralString = " ORDER BY source, transaction_id, decided_at, decision_id"
# An id means a payment only with its source: the same id of another tenant is another payment.
PAIRS: LiteralString = " (source, transaction_id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))"
ALSO: LiteralString = ONCE + " WHERE card_id = %s AND" + PAIRS + FIRST
WHOLE: LiteralString = (
    ONCE
    + """ AS d WHERE alert_id = %(alert)s AND event_time BETWEEN %(first)s AND %(last)s AND """
    + queries.OWN
    + FIRST
)
# Under the lock, and by the clock: verdicts have their times in the order in which they hold.
KEEP: LiteralString = """
    INSERT INTO dispositions (alert_id, verdict, by, note, known_at, payments)
    VALUES (%s, %s, %s, %s, clock_timestamp(), %s) RETURNING *"""
JUDGE: LiteralString = "UPDATE decisions SET verdict = %s WHERE card_id = %s AND" + PAIRS  # noqa: S608 - a constant
# The alert that was judged, and others of the card all of whose payments are judged by now.
CLOSE: LiteralString = """
    UPDATE alerts SET state = %s, change = nextval('changes') WHERE alert_id = %s OR (alert_id = ANY(%s)
        AND NOT EXISTS (SELECT 1 FROM decisions AS d WHERE d.alert_id = alerts.alert_id AND d.verdict IS NULL))"""
EARLIER: LiteralString = """
    SELECT * FROM dispositions WHERE verdict = %s AND payments @> %s ORDER BY disposition_id DESC LIMIT 1"""
SENT: LiteralString = "UPDATE dispositions SET sent_at = now() WHERE disposition_id = %s AND sent_at IS NULL"


async def dispose(history: History, sender: Sender, transaction_id: str, said: Disposition, who: Principal) -> Disposed:
    """Keep what `who` said of an alert's payment, send its labels and return what stands; ProblemError says why not."""
    return await _dispose(history, sender, transaction_id, said, who, alerted=True)


async def label(history: History, sender: Sender, transaction_id: str, said: Disposition, who: Principal) -> Disposed:
    """Do the same for any decided payment, in an alert or not."""
    return await _dispose(history, sender, transaction_id, said, who, alerted=False)


async def _dispose(
    history: History, sender: Sender, transaction_id: str, said: Disposition, who: Principal, *, alerted: bool
) -> Disposed:
    async with history.connection("keeping a disposition") as connection:
        await connection.execute(LOCK_CHANGES)
        alert: Row | None
        if alerted:
            main, alert = await queries.alert_of(connection, transaction_id, said.source, who.listed)
        else:
            main = await queries.payment(connection, transaction_id, said.source, who.listed)
            alert = await queries.alert(connection, main["alert_id"], who.listed) if main["alert_id"] else None
        judged = await _judged(connection, main, alert, said, who)
        _refuse_contradiction(judged, said)
        fresh = [payment for payment in judged if payment["verdict"] != said.verdict]
        if fresh:
            row = await _keep(connection, main, fresh, said, who)
        else:
            row = await _earlier(connection, main, said)
        state = (await queries.alert(connection, alert["alert_id"], who.listed))["state"] if alert else None
    events = labels.of(row)
    if row["sent_at"] is None:
        await _send(history, sender, row, events)
    codes = sorted({reason["code"] for payment in judged for reason in payment["reasons"]})
    suppressed = await clearing.clear(main["card_id"], codes, row["known_at"]) if said.verdict == "genuine" else None
    return Disposed(
        alert_id=main["alert_id"],
        state=state,
        verdict=row["verdict"],
        by=row["by"],
        note=row["note"],
        known_at=row["known_at"],
        payments=[PaymentId(**each) for each in row["payments"] if who.sees(each["source"])],
        labels=len(events),
        repeated=not fresh,
        suppressed=suppressed,
    )


async def _judged(
    connection: AsyncConnection, main: Row, alert: Row | None, said: Disposition, who: Principal
) -> list[Row]:
    """Return the payments that the verdict is about, each once, the named one first; ProblemError 422: unknown ones.

    Payments of sources that `who` does not see are unknown, and no part of the whole.
    """
    found = {_name(main): main}
    if said.whole and alert:
        whole = queries.times(alert) | {"sources": who.listed}
        found |= {_name(row): row for row in await (await connection.execute(WHOLE, whole)).fetchall()}
    wanted = {
        (main["source"], each) if isinstance(each, str) else (each.source, each.transaction_id) for each in said.also
    }
    if wanted := wanted - found.keys():
        seen = sorted(each for each in wanted if who.sees(each[0]))
        asked = (main["card_id"], [source for source, _ in seen], [name for _, name in seen])
        found |= {_name(row): row for row in await (await connection.execute(ALSO, asked)).fetchall()}
    if missing := sorted(name for _, name in wanted - found.keys()):
        reason = f"the card has no decided payment {', '.join(missing[:5])} of that source"
        wrong = [{"field": "also", "code": "unknown_payment", "reason": reason}]
        raise ProblemError(422, "unknown_payment", reason, wrong)
    return list(found.values())


def _name(row: Row) -> tuple[str, str]:
    return row["source"], row["transaction_id"]


def _refuse_contradiction(judged: Sequence[Row], said: Disposition) -> None:
    against = [row for row in judged if row["verdict"] in {"fraud", "genuine"} and row["verdict"] != said.verdict]
    if not against:
        return
    named = ", ".join(f"{row['transaction_id']} is {row['verdict']}" for row in against[:5])
    if said.verdict == "unsure":
        raise ProblemError(409, "label_stands", f"{named}: a label cannot be taken back; say fraud or genuine instead")
    if not said.corrects:
        raise ProblemError(409, "contradicts", f"{named}: to correct that, say `corrects`: true")


async def _earlier(connection: AsyncConnection, main: Row, said: Disposition) -> Row:
    named = Jsonb([{"source": main["source"], "transaction_id": main["transaction_id"]}])
    row = await (await connection.execute(EARLIER, (said.verdict, named))).fetchone()
    if row is None:
        raise ProblemError(409, "judged_long_ago", f"it is {said.verdict} already, by a disposition that is forgotten")
    return row


async def _keep(connection: AsyncConnection, main: Row, fresh: Sequence[Row], said: Disposition, who: Principal) -> Row:
    payments = [{"source": row["source"], "transaction_id": row["transaction_id"]} for row in fresh]
    kept = (main["alert_id"], said.verdict, who.name, said.note, Jsonb(payments))
    row = await (await connection.execute(KEEP, kept)).fetchone()
    if row is None:
        raise ServerError("postgres returned no row of a disposition that it kept; see its log")
    sources, names = zip(*((each["source"], each["transaction_id"]) for each in payments), strict=True)
    await connection.execute(JUDGE, (said.verdict, main["card_id"], list(sources), list(names)))
    others = [row["alert_id"] for row in fresh if row["alert_id"] is not None]
    await connection.execute(CLOSE, (said.verdict, main["alert_id"], others))
    return row


async def _send(history: History, sender: Sender, row: Row, events: Sequence[Mapping[str, Any]]) -> None:
    try:
        # The first label asks the registry for its schema, once and in a thread: nothing here holds up other requests.
        if events:
            await asyncio.to_thread(sender.open, LABELS)
        await asyncio.gather(*(sender.send(LABELS, labels.key(dict(label)), label) for label in events))
    except ServerError as error:
        log.warning("%s", error)
        text = "the disposition is kept, and its labels are sent as soon as Kafka answers; repeating it does no harm"
        raise ProblemError(503, "labels_not_sent", text, headers={"retry-after": "30"}) from error
    async with history.connection("marking labels as sent") as connection:
        await connection.execute(SENT, (row["disposition_id"],))
