"""How fast many entries of lists are taken, loaded and looked up, beside a YAML file that is read whole.

That was the way before: after each change all entries were read again by PyYAML, and looked up by pairs.
"""

import csv
import gc
import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import yaml

from scoring.rules import By, ListName
from scoring.rules.lists import Body, Place
from serving.policy import lists as listing
from serving.policy import topic as policy
from serving.policy.in_force import InForce

YAML_ENTRIES = 2_000
"""Of so many the time of a million is told: it grows with their number."""
LOOKUPS = 100_000
WAIT_S = 120.0


def card(number: int) -> str:
    """Return a card's keyed hash."""
    return hashlib.sha256(b"%d" % number).hexdigest()


def seconds(call: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def megabytes() -> float:
    """Return what this process holds in memory."""
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 1e6


def until(holds: Callable[[], bool]) -> float:
    """Wait for something without a pause; return the seconds. TimeoutError after two minutes."""
    began = time.perf_counter()
    while not holds():
        if time.perf_counter() - began > WAIT_S:
            raise TimeoutError("the policy did not come")
        time.sleep(0.0005)
    return time.perf_counter() - began


def lookups(find: Callable[[dict[str, Any], int], Any], count: int) -> dict[str, float]:
    """Return microseconds of processor for a lookup of a payment: of a card that is listed, and of one that is not."""
    found = {}
    for name, low in (("hit", 0), ("miss", count)):
        rows = [{"source": "s", "card_id": card(low + n * 7_919 % count), "merchant_id": "m"} for n in range(LOOKUPS)]
        now_us = time.time_ns() // 1_000
        began = time.thread_time()
        for row in rows:
            find(row, now_us)
        found[name] = (time.thread_time() - began) / LOOKUPS * 1e6
    return found


def old_way(count: int) -> dict[str, Any]:
    """Return what the way before takes: reading YAML again after one change, and a lookup."""
    rows = [{"list": "deny", "by": "card", "value": card(n), "reason": "stolen"} for n in range(YAML_ENTRIES)]
    text = yaml.safe_dump({"lists": rows})
    read_s = seconds(lambda: yaml.load(text, yaml.SafeLoader)) * count / YAML_ENTRIES
    entries = {(By.CARD, card(n)): [("deny", 2**62)] for n in range(count)}

    def find(payment: dict[str, Any], now_us: int) -> list[str]:
        keys = {
            By.CARD: payment.get("card_id"),
            By.ACCOUNT: payment.get("account_id"),
            By.ACCEPTOR: f"{payment['source']}:{payment['merchant_id']}",
            By.DEVICE: payment.get("device_id"),
        }
        given = {by: value for by, value in keys.items() if value}
        return sorted(name for pair in given.items() for name, until_us in entries.get(pair, ()) if now_us < until_us)

    return {"read_s": read_s, "lookup_us": lookups(find, count)}


def _read_first() -> None:
    found = InForce("bench")
    found.start(WAIT_S)
    found.stop()


def run(count: int, adds: int) -> dict[str, Any]:
    """Import `count` entries, read them from Kafka, start from the copy, add some one by one, look up."""
    topic, now_us = policy.name(), time.time_ns() // 1_000
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lists.csv"
        with file.open("w", newline="") as out:
            rows = (("deny", "card", card(n), "stolen", "2099-01-01") for n in range(count))
            csv.writer(out).writerows([listing.COLUMNS, *rows])
        checked = list[Any]()
        check_s = seconds(lambda: checked.extend(listing.read(file, "bench", now_us)))
    send_s = seconds(lambda: policy.write(checked, topic))
    checked.clear()
    read_s = seconds(_read_first)
    before = megabytes()
    found = InForce("bench")
    start_s = seconds(found.start)
    held = megabytes() - before
    added = []
    for number in range(adds):
        place = Place(ListName.DENY, By.CARD, card(3 * count + number))
        payment = {"source": "s", "card_id": place.value}
        began = time.perf_counter()
        policy.write([(place, Body(4_070_908_800_000_000, "stolen", "bench", now_us))], topic)
        until(lambda payment=payment: bool(found.lists.find(payment, now_us)))  # type: ignore[misc]  # bound now
        added.append(time.perf_counter() - began)
    result = {
        "entries": len(found.lists),
        "check_s": check_s,
        "send_s": send_s,
        "read_s": read_s,
        "start_s": start_s,
        "megabytes": held,
        "added_s": added,
        "lookup_us": lookups(found.lists.find, count),
    }
    found.stop()
    return result | {"old": old_way(count)}
