"""Puts a payment that its caller wants observed on Kafka like any other, and says in the answer where it stands."""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson

from contracts import schemas
from contracts.topics import TRANSACTIONS
from errors import UnreachableError
from serving import metrics
from serving.config import config
from serving.outbox.sender import Sender


async def observed(sender: Sender, record: Mapping[str, Any], answer: bytes) -> bytes:
    """Send a validated record to `transactions.raw` and return `answer` (JSON) with its place, or why there is none.

    The decision is the caller's in any case, after `observe_within_s` at most. A payment sent again is the same
    payment: observed once, once in Silver.
    """
    within_s = config().observe_within_s
    said: dict[str, Any] = {"partition": None, "offset": None, "why": None}
    try:
        sending = sender.send(TRANSACTIONS, record["card_id"].encode(), schemas.defaults("transaction") | dict(record))
        place = await asyncio.wait_for(sending, within_s)
        said |= {"partition": place.partition, "offset": place.offset}
    except TimeoutError:
        said["why"] = (
            f"Kafka did not acknowledge the payment within {within_s:g} s and may have it all the same; ask again with "
            "the same body, repeats count once"
        )
    except UnreachableError as error:
        said["why"] = f"{error}; ask again with the same body"
    metrics.OBSERVED.labels("yes" if said["why"] is None else "no").inc()
    return answer[:-1] + b',"observed":' + orjson.dumps(said) + b"}"
