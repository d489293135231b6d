"""The desk on a real PostgreSQL and Kafka: any alert judged whole, any id found, money exact, nobody's silence well."""

import asyncio
import json
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from infra.native.paths import Home
from serving.desk.api import queries, statistics
from serving.desk.api.search import Search, search
from serving.principals.principal import Role
from tests.integration.alerts_trial import AlertsTrial, Record, card_of, payment
from tests.scorer_process import INVESTIGATOR_KEY, NOWHERE, Desk, Process, add_key, until

BIGGEST = 9_223_372_036_854_775_808
"""One more than a bigint holds."""


@pytest.fixture(scope="module")
def trial(stack: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlertsTrial]:
    """Topics and a database of this module's own."""
    made = AlertsTrial(tmp_path_factory.mktemp("desk"))
    yield made
    made.end()


@pytest.fixture(scope="module")
def sink(trial: AlertsTrial) -> Process:
    """A sink over them."""
    return trial.sink()


@pytest.fixture(scope="module")
def desk(trial: AlertsTrial, sink: Process) -> Desk:
    """A desk over them, with few streams; the scorer is away."""
    assert sink.child is not None
    return trial.desk(NOWHERE, ALERTS_STREAMS="2")


@pytest.fixture
def client(desk: Desk) -> Iterator[httpx.Client]:
    """An investigator's client."""
    with desk.client(INVESTIGATOR_KEY) as made:
        made.timeout = httpx.Timeout(60)
        yield made


def sent(trial: AlertsTrial, *records: Record) -> None:
    """Send decisions and wait until they can be read."""
    names = [record["transaction_id"] for record in records]
    wanted = trial.rows("SELECT count(*) AS n FROM decisions WHERE transaction_id = ANY(%s)", names)
    before = wanted[0]["n"] if wanted else 0
    trial.send(records)
    until(
        lambda: len(trial.rows("SELECT FROM decisions WHERE transaction_id = ANY(%s)", names)) >= before + len(records),
        f"the sink has them\n{trial.said()}",
        90,
    )


def test_an_alert_of_any_size_is_judged_by_one_word(trial: AlertsTrial, client: httpx.Client) -> None:
    """3,000 payments of one card, told by `whole`: each has the verdict and its label; the request is short."""
    names = [f"big-{n:05d}-{'x' * 40}" for n in range(3_000)]
    sent(trial, *(trial.decision(1, name, 600 - n / 10, minor=100) for n, name in enumerate(names)))
    said = {"verdict": "fraud", "whole": True}
    answer = client.post(f"/alerts/{names[7]}/disposition", json=said)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["labels"], answer.json()["state"]) == (3_000, "fraud")
    left = "SELECT count(*) AS n FROM decisions WHERE card_id = %s AND verdict IS DISTINCT FROM 'fraud'"
    assert trial.rows(left, card_of(1)) == [{"n": 0}]
    again = client.post(f"/alerts/{names[8]}/disposition", json=said).json()
    assert again["repeated"]
    assert len([label for label in trial.sent_labels() if label["transaction_id"].startswith("big-")]) == 3_000


def test_as_many_ids_as_documented_are_taken(trial: AlertsTrial, client: httpx.Client) -> None:
    """512 ids of 64 characters, each of several bytes, named in `also`: more than 16 KiB, and 200."""
    names = [f"{n:04d}{'ü' * 60}" for n in range(513)]
    sent(trial, *(trial.decision(2, name, 600 - n / 10, minor=100) for n, name in enumerate(names)))
    body = json.dumps({"verdict": "fraud", "also": names[1:]}).encode()
    assert len(body) > 16 * 1024
    answer = client.post(
        "/alerts/by-payment/disposition",
        params={"transaction_id": names[0]},
        content=body,
        headers={"content-type": "application/json"},
    )
    assert (answer.status_code, answer.json()["labels"]) == (200, 513), answer.text
    too_many = json.dumps({"verdict": "fraud", "also": [*names[1:], "one more"]})
    refused = client.post(
        "/alerts/by-payment/disposition",
        params={"transaction_id": names[0]},
        content=too_many,
        headers={"content-type": "application/json"},
    )
    assert refused.status_code == 422


def test_a_verdict_never_reaches_another_tenants_payment(trial: AlertsTrial, client: httpx.Client) -> None:
    """The same id of another source on the same card stays unjudged, unless it is named with its source."""
    sent(trial, trial.decision(3, "s-0001"), trial.decision(3, "s-0002", decision="approve"))
    other = trial.decided(3, payment(3, "s-0002", source="other"), decision="approve")
    trial.send([other])
    theirs = "SELECT verdict FROM decisions WHERE source = 'other' AND transaction_id = 's-0002'"
    until(lambda: bool(trial.rows(theirs)), "the other tenant's")
    said: dict[str, Any] = {"verdict": "fraud", "source": "trial", "also": ["s-0002"]}
    made = client.post("/alerts/s-0001/disposition", json=said).json()
    assert [(each["source"], each["transaction_id"]) for each in made["payments"]] == [
        ("trial", "s-0001"),
        ("trial", "s-0002"),
    ]
    assert trial.rows(theirs) == [{"verdict": None}]
    said["also"] = [{"source": "other", "transaction_id": "s-0002"}]
    assert client.post("/alerts/s-0001/disposition", json=said).status_code == 200
    assert trial.rows(theirs) == [{"verdict": "fraud"}]


def test_through_some_sources_only_their_payments_are_seen(trial: AlertsTrial, client: httpx.Client) -> None:
    """An alert with payments of two sources: through one of them its sums, its costliest, its counts are that one's."""
    names = ("q-ours", "q-theirs")
    theirs = trial.decided(701, payment(701, "q-theirs", minor=90_000, source="q"), decision="block", score=0.9)
    sent(trial, trial.decision(701, "q-ours", minor=100_000, score=0.5), theirs | {"reasons": "[]"})

    async def seen(sources: list[str] | None) -> tuple[list[Record], list[Record], Record, list[str]]:
        async with await psycopg.AsyncConnection.connect(trial.url, row_factory=dict_row) as connection:
            alerts = await queries.alerts_of_card(connection, card_of(701), sources)
            payments = await queries.payments_of(connection, alerts[0], sources=sources)
            page, _ = await queries.page(connection, "loss", 200, sources=sources)
            counts = await statistics.summary(connection, 24, sources)
            points = await statistics.series(connection, 24, 3_600, sources)
            found, _ = await search(connection, Search(card_id=card_of(701)), datetime.now(UTC), sources)
        assert sum(point["decided"] for point in points) == counts["decided"]
        assert alerts[0]["alert_id"] in [alert["alert_id"] for alert in page]
        assert sorted(row["transaction_id"] for row in found) == sorted(row["transaction_id"] for row in payments)
        return alerts, page, counts, [row["transaction_id"] for row in payments]

    alerts, page, counts, found = asyncio.run(seen(["q"]))
    assert ([alert["alert_id"] for alert in page], found) == ([alerts[0]["alert_id"]], ["q-theirs"])
    assert (alerts[0]["payments"], alerts[0]["action"], alerts[0]["transaction_id"]) == (1, "block", "q-theirs")
    assert (f"{alerts[0]['amount']:.2f}", f"{alerts[0]['expected_loss']:.2f}") == ("900.00", "810.00")
    assert (counts["decided"], counts["by_action"], counts["alerts_by_state"]) == (1, {"block": 1}, {"open": 1})
    alerts, _, counts, found = asyncio.run(seen(None))
    assert (alerts[0]["payments"], sorted(found), counts["decided"] > 2) == (2, sorted(names), True)


def test_who_sees_some_sources_judges_and_takes_those_alone(
    trial: AlertsTrial, desk: Desk, client: httpx.Client
) -> None:
    """`whole`, search, assignment and a repeated verdict through one source leave the other's payments as they were."""
    add_key(desk.home, "key of w", "w", Role.INVESTIGATOR, "w")
    decided = [
        trial.decided(711, payment(711, "w-1", 90, source="w"), decision="review"),
        trial.decided(711, payment(711, "w-2", 80, source="w"), decision="review"),
        trial.decided(711, payment(711, "other-1", 70), decision="review"),
        trial.decided(712, payment(712, "w-mine-no", 70), decision="review"),
    ]
    sent(trial, *decided)
    with desk.client("key of w") as one:
        until(lambda: one.get("/stats/summary").status_code == 200, "the key is in force")
        found = one.get("/payments", params={"card_id": card_of(711)}).json()["payments"]
        assert [each["transaction_id"] for each in found] == ["w-2", "w-1"]
        assert one.get("/payments", params={"transaction_id": "other-1"}).json()["payments"] == []
        made = one.post("/alerts/w-1/disposition", json={"verdict": "fraud", "whole": True}).json()
        assert sorted(each["transaction_id"] for each in made["payments"]) == ["w-1", "w-2"]
        assert trial.rows("SELECT verdict FROM decisions WHERE transaction_id = 'other-1'") == [{"verdict": None}]
        for path in ("/alerts/by-payment/disposition", "/payments/disposition"):
            foreign = one.post(path, params={"transaction_id": "other-1"}, json={"verdict": "fraud"})
            assert foreign.status_code == 404, path
        named = {"params": {"transaction_id": "w-mine-no"}}
        assert one.put("/alerts/by-payment/assignee", **named).status_code == 404
        whole = {"verdict": "genuine", "whole": True, "corrects": True}
        assert len(client.post("/alerts/other-1/disposition", json=whole).json()["payments"]) == 3
        again = one.post("/alerts/w-1/disposition", json={"verdict": "genuine"}).json()
        assert again["repeated"]
        assert {each["source"] for each in again["payments"]} == {"w"}


ODD = ("recent", "stream", "by-payment", "card/x", "a/b/disposition", "50%", "%2F", "ä ö?#&=", "..", "a\\b", "'\"")


def test_every_id_that_the_contract_accepts_is_found(trial: AlertsTrial, client: httpx.Client) -> None:
    """Words of the page itself, slashes, percent signs: by the query each is found, judged and labelled."""
    sent(trial, *(trial.decision(100 + n, name) for n, name in enumerate(ODD)))
    for name in ODD:
        asked = {"transaction_id": name, "source": "trial"}
        found = client.get("/alerts/by-payment", params=asked)
        assert found.status_code == 200, (name, found.text)
        assert found.json()["payments"][0]["transaction_id"] == name
        said = {"verdict": "unsure"}
        assert client.post("/alerts/by-payment/disposition", params=asked, json=said).json()["state"] == "unsure", name
    assert client.get("/alerts/50%25").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/alerts/a%00b",
        "/alerts/by-payment?transaction_id=a%00b",
        "/alerts/card/%00",
        "/payments?transaction_id=%00",
        "/payments?acceptor=a&cursor=AAAA",
        "/payments?since=2026-01-01T00:00:00Z",
        "/payments?card_id=x",
        "/stats/timeseries?bucket_s=61",
        "/alerts/recent?cursor=WyJyZWNlbnQiLDY0MC4yLDQxXQ",
    ],
)
def test_values_that_cannot_be_are_the_callers_fault(client: httpx.Client, path: str) -> None:
    """422 as a problem document, never 503 or 500."""
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), answer.text


def test_a_cursor_beyond_every_id_is_refused(client: httpx.Client) -> None:
    """A number that no bigint holds is no cursor; one that PostgreSQL's text cannot hold neither."""
    import base64

    for place in (["recent", False, "1", BIGGEST], ["recent", False, "NaN", 1], ["recent", 1, "1", 1], ["recent"]):
        packed = base64.urlsafe_b64encode(json.dumps(place).encode()).decode()
        answer = client.get("/alerts/recent", params={"cursor": packed})
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_cursor"), place


def test_money_is_exact_and_what_has_no_rate_stands_first(trial: AlertsTrial, client: httpx.Client) -> None:
    """Sums of 0.1 and 0.2 are 0.30; an alert without a rate says so, and no larger loss stands before it."""
    sent(
        trial,
        trial.decision(201, "m-1", minor=10, score=1.0),
        trial.decision(201, "m-2", minor=20, score=1.0),
        trial.decision(202, "m-large", minor=9_000_000_000, score=0.99),
        trial.decided(203, payment(203, "m-none", minor=5_000_000, currency="AUD"), decision="block", reasons="[]"),
        trial.decided(204, payment(204, "m-some", minor=100, currency="AUD"), decision="review", reasons="[]"),
        trial.decision(204, "m-some-usd", minor=1_050, score=0.5),
    )
    queue = client.get("/alerts/recent", params={"order": "loss", "state": "open", "limit": 200}).json()["alerts"]
    by_card = {alert["card_id"]: alert for alert in queue}
    exact, large, none, some = (by_card[card_of(n)] for n in (201, 202, 203, 204))
    assert (exact["amount"], exact["expected_loss"], exact["unpriced"]) == ("0.30", "0.30", 0)
    assert (large["amount"], large["expected_loss"]) == ("90000000.00", "89100000.00")
    assert (none["amount"], none["expected_loss"], none["unpriced"]) == (None, None, 1)
    assert (some["amount"], some["unpriced"], some["payments"]) == ("10.50", 1, 2)
    places = [alert["alert_id"] for alert in queue]
    assert max(places.index(none["alert_id"]), places.index(some["alert_id"])) < places.index(large["alert_id"])
    seen, cursor = [], None
    while True:  # a page at a time it is the same order
        asked = {"order": "loss", "state": "open", "limit": 1} | ({"cursor": cursor} if cursor else {})
        answer = client.get("/alerts/recent", params=asked).json()
        seen += [alert["alert_id"] for alert in answer["alerts"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert seen == places
    assert client.get("/alerts/m-none").json()["payments"][0]["amount"] is None


def test_a_fraud_that_nobody_suspected_is_found_and_labelled(trial: AlertsTrial, client: httpx.Client) -> None:
    """By card, id, acceptor, time, amount and decision; its verdict is a label on Kafka though there is no alert."""
    at = time.time()
    sent(
        trial,
        trial.decision(301, "f-missed", 7_200, minor=41_234, decision="approve", score=0.1),
        *(trial.decision(301, f"f-{n}", 3_600 - n, minor=100 + n, decision="approve", score=0.1) for n in range(5)),
    )

    def found(**asked: Any) -> list[str]:
        answer = client.get("/payments", params=asked)
        assert answer.status_code == 200, answer.text
        return [each["transaction_id"] for each in answer.json()["payments"]]

    def hour(ago_h: float) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at - ago_h * 3_600))

    card = card_of(301)
    assert found(card_id=card) == ["f-4", "f-3", "f-2", "f-1", "f-0", "f-missed"]
    assert found(transaction_id="f-missed", source="trial") == ["f-missed"]
    assert found(transaction_id="f-missed", source="nobody") == []
    assert found(min_amount="412.34", max_amount="412.34") == ["f-missed"]
    assert found(card_id=card, min_amount="412.35") == []
    assert found(card_id=card, since=hour(3), until=hour(1.5)) == ["f-missed"]
    acceptor = client.get("/payments", params={"transaction_id": "f-missed"}).json()["payments"][0]["acceptor"]
    assert "f-missed" in found(acceptor=acceptor, action="approve")
    first = client.get("/payments", params={"card_id": card, "limit": 4}).json()
    second = client.get("/payments", params={"card_id": card, "limit": 4, "cursor": first["next_cursor"]}).json()
    assert [each["transaction_id"] for each in second["payments"]] == ["f-0", "f-missed"]

    said = {"verdict": "fraud", "note": "the holder called", "also": ["f-0"]}
    assert client.post("/alerts/f-missed/disposition", json=said).status_code == 404
    made = client.post("/payments/disposition", params={"transaction_id": "f-missed"}, json=said)
    assert made.status_code == 200, made.text
    assert (made.json()["alert_id"], made.json()["state"], made.json()["labels"]) == (None, None, 2)
    labels = {label["transaction_id"]: label["verdict"] for label in trial.sent_labels()}
    assert (labels["f-missed"], labels["f-0"]) == ("fraud", "fraud")
    again = client.post("/payments/disposition", params={"transaction_id": "f-missed"}, json=said).json()
    assert (again["repeated"], again["known_at"]) == (True, made.json()["known_at"])


def test_an_alert_is_taken_and_left(trial: AlertsTrial, desk: Desk, client: httpx.Client) -> None:
    """Who takes it is shown in the queue; another must take it over by word; left, it is nobody's; nobody types who."""
    add_key(desk.home, "key of bob", "bob", Role.INVESTIGATOR)
    sent(trial, trial.decision(401, "t-1"))
    asked: dict[str, Any] = {"url": "/alerts/by-payment/assignee", "params": {"transaction_id": "t-1"}}
    with desk.client("key of bob") as bob:
        until(lambda: bob.get("/stats/summary").status_code == 200, "bob's key is in force")
        assert "principal of the key" in client.put(**asked, json={"by": "bob"}).json()["detail"]
        taken = client.put(**asked)
        assert (taken.status_code, taken.json()["assignee"]) == (200, "j.doe")
        mine = client.get("/alerts/recent", params={"assignee": "j.doe"}).json()["alerts"]
        assert [alert["transaction_id"] for alert in mine] == ["t-1"]
        refused = bob.put(**asked, json={})
        assert (refused.status_code, refused.json()["code"]) == (409, "taken")
        over = bob.put(**asked, json={"takes_over": True}).json()
        assert (over["assignee"], over["change"] > taken.json()["change"]) == ("bob", True)
        left = bob.delete(**asked).json()
        assert (left["assignee"], left["assigned_at"]) == (None, None)


def test_streams_are_counted_and_a_carriage_return_breaks_no_event(
    trial: AlertsTrial, desk: Desk, client: httpx.Client
) -> None:
    """The third of two is refused, one that went makes room; a carriage return in a sentence stays in its event."""
    with (
        desk.client() as one,
        desk.client() as two,
        one.stream("GET", "/alerts/stream") as first,
        two.stream("GET", "/alerts/stream") as second,
    ):
        assert (first.status_code, second.status_code) == (200, 200)
        refused = client.get("/alerts/stream")
        assert (refused.status_code, refused.json()["code"]) == (503, "too_many_streams")
        lines = first.iter_lines()
        assert "retry: 2000" in (next(lines), next(lines))
        reasons = json.dumps([{"code": "rule", "text": "two\rlines: and\r\nthree", "weight": None}])
        trial.send([trial.decision(501, "cr-1", reasons=reasons)])
        data = next(line for line in lines if line.startswith("data: "))
        assert json.loads(data.removeprefix("data: "))["reasons"][0]["text"] == "two\rlines: and\r\nthree"
    with desk.client() as again:

        def opens() -> bool:
            with again.stream("GET", "/alerts/stream") as answer:
                return answer.status_code == 200

        until(opens, "there is room again")


def test_the_page_of_the_api_loads_nothing(client: httpx.Client, desk: Desk) -> None:
    """/docs names every route, without a script and without an address elsewhere; the scorer's pages are not here."""
    page = client.get("/docs")
    assert (page.status_code, page.headers["content-security-policy"].startswith("default-src 'none'")) == (200, True)
    assert "/payments/disposition" in page.text
    assert "http://" not in page.text.replace("http://www.w3.org", "").replace(desk.url, "")
    assert "https://" not in page.text
    assert client.post("/predict", content=b"{}").status_code == 404


def test_refusals_and_silence_are_troubles(trial: AlertsTrial, client: httpx.Client, sink: Process) -> None:
    """A refused decision is told with its reason; a sink that is frozen is not well, and well again when it goes on."""
    trial.send([trial.decision(601, "refused") | {"payment": b"no payment"}])

    def trouble(name: str) -> str:
        found = client.get("/pipeline/alerts").json()["troubles"]
        return next((f"{each['what']} {each['do']}" for each in found if each["component"] == name), "")

    until(lambda: "bad_magic_byte" in trouble("refused-decisions"), "the refusal is told")
    assert "serving refused list" in trouble("refused-decisions")
    assert "does not answer" in trouble("scorer")
    with psycopg.connect(trial.url) as connection:
        connection.execute("DELETE FROM refused_decisions")
    until(lambda: trouble("refused-decisions") == "", "nothing is refused any more")
    assert trouble("alerts-sink") == ""
    sink.send(signal.SIGSTOP)
    try:
        trial.send([trial.decision(602, "waits")])
        until(lambda: "records wait for it" in trouble("alerts-sink"), "silence is seen", 90)
    finally:
        sink.send(signal.SIGCONT)
    until(lambda: trouble("alerts-sink") == "", "it goes on", 60)
