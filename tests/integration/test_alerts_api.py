"""The alerts API on a real scorer, PostgreSQL and Kafka: pages, events, dispositions that become labels, faults."""

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from infra.native.paths import Home
from infra.native.processes import supervise
from infra.native.stackenv import required
from infra.native.state.ready import why_not
from serving.online import notes
from serving.principals import file as keyfile
from serving.principals.principal import Role
from tests.conftest import wait_until
from tests.integration.alerts_trial import AlertsTrial, card_of, payment
from tests.scorer_process import INVESTIGATOR_KEY, Desk, Scorer, add_key, body, until


@pytest.fixture(scope="module")
def trial(stack: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlertsTrial]:
    """Topics, database and a sink of this module's own."""
    made = AlertsTrial(tmp_path_factory.mktemp("alerts"))
    made.sink()
    yield made
    made.end()


@pytest.fixture(scope="module")
def scorer(trial: AlertsTrial) -> Scorer:
    """A scorer beside them."""
    return trial.scorer()


@pytest.fixture(scope="module")
def desk(trial: AlertsTrial, scorer: Scorer) -> Desk:
    """A desk over them."""
    return trial.desk(scorer.url)


@pytest.fixture
def client(desk: Desk) -> Iterator[httpx.Client]:
    """An investigator's client of the desk."""
    with desk.client(INVESTIGATOR_KEY) as made:
        yield made


def sent(trial: AlertsTrial, *records: dict[str, Any]) -> None:
    """Send decisions and wait until they can be read."""
    trial.send(records)
    names = [record["transaction_id"] for record in records]
    until(
        lambda: len(trial.rows("SELECT FROM decisions WHERE transaction_id = ANY(%s)", names)) == len(names),
        "the sink has them",
        60,
    )


def predict(scorer: Scorer, number: int) -> int:
    """Return the status of a decision."""
    with scorer.client() as asking:
        return asking.post("/predict", content=body(number)).status_code


def labels(trial: AlertsTrial, *names: str) -> list[dict[str, Any]]:
    """Return the labels of payments on Kafka."""
    return [label for label in trial.sent_labels() if label["transaction_id"] in names]


def test_the_queue_is_ordered_by_expected_loss_and_filtered(trial: AlertsTrial, client: httpx.Client) -> None:
    """Largest score x amount first; filters leave out what they say."""
    sent(
        trial,
        trial.decision(101, "q-small", minor=1_000),
        trial.decision(102, "q-large", minor=900_000, score=0.6),
        trial.decision(103, "q-block", minor=50_000, score=0.95, decision="block"),
    )
    found = client.get("/alerts/recent", params={"order": "loss", "limit": 200}).json()["alerts"]
    losses = [float(alert["expected_loss"]) for alert in found if not alert["unpriced"]]
    assert losses == sorted(losses, reverse=True)
    names = [alert["transaction_id"] for alert in found]
    assert names.index("q-large") < names.index("q-block") < names.index("q-small")
    only = client.get("/alerts/recent", params={"action": "block", "min_score": 0.9, "state": "open"}).json()["alerts"]
    assert {alert["action"] for alert in only} == {"block"}
    assert "q-block" in {alert["transaction_id"] for alert in only}


@pytest.mark.parametrize("order", ["recent", "loss"])
def test_pages_do_not_shift_while_new_alerts_come(trial: AlertsTrial, client: httpx.Client, order: str) -> None:
    """Every alert of the beginning is on exactly one page, whatever comes between two pages."""
    base = 200 if order == "recent" else 300
    sent(trial, *(trial.decision(base + n, f"{order}-{n}", minor=1_000 + n) for n in range(12)))
    seen: list[str] = []
    cursor = None
    while True:
        asked = {"order": order, "limit": 5} | ({"cursor": cursor} if cursor else {})
        answer = client.get("/alerts/recent", params=asked)
        assert answer.status_code == 200, answer.text
        seen += [alert["transaction_id"] for alert in answer.json()["alerts"]]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            break
        if len(seen) <= 15:
            sent(trial, trial.decision(base + 50 + len(seen), f"{order}-new-{len(seen)}", minor=5_000_000))
    assert len(seen) == len(set(seen))
    assert {f"{order}-{n}" for n in range(12)} <= set(seen)


def test_an_alert_and_its_card_are_found_by_any_of_its_payments(trial: AlertsTrial, client: httpx.Client) -> None:
    """Each payment of an alert leads to it; the card's page has approved payments as well."""
    sent(
        trial,
        trial.decision(401, "one/a", 60),
        trial.decision(401, "one/b", 30),
        trial.decision(401, "one/c", 10, decision="approve"),
    )
    first, second = (client.get(f"/alerts/{name}").json() for name in ("one/a", "one/b"))
    assert first["alert"] == second["alert"]
    assert [payment["transaction_id"] for payment in first["payments"]] == ["one/a", "one/b"]
    assert first["alert"]["reasons"][0]["text"].startswith("6 payments")
    card = client.get(f"/alerts/card/{card_of(401)}").json()
    assert [payment["transaction_id"] for payment in card["payments"]] == ["one/c", "one/b", "one/a"]
    assert client.get("/alerts/one/c").status_code == 404


def test_a_disposition_is_on_kafka_when_it_is_answered(trial: AlertsTrial, client: httpx.Client) -> None:
    """Fraud for two payments: two labels, once; the same again is the same; the contrary must say that it corrects."""
    sent(trial, trial.decision(501, "d-before", 90, decision="approve"), trial.decision(501, "d-main", 60))
    said = {"verdict": "fraud", "note": "called the holder", "also": ["d-before"]}
    answer = client.post("/alerts/d-main/disposition", json=said)
    assert answer.status_code == 200, answer.text
    made = labels(trial, "d-main", "d-before")
    assert sorted(label["transaction_id"] for label in made) == ["d-before", "d-main"]
    assert {(label["verdict"], label["origin"], label["by"], label["note"]) for label in made} == {
        ("fraud", "analyst", "j.doe", "called the holder")
    }
    again = client.post("/alerts/d-main/disposition", json=said).json()
    assert again["repeated"]
    assert again["known_at"] == answer.json()["known_at"]
    assert len(labels(trial, "d-main", "d-before")) == 2
    contrary = {"verdict": "genuine"}
    refused = client.post("/alerts/d-main/disposition", json=contrary)
    assert (refused.status_code, refused.json()["code"]) == (409, "contradicts")
    assert client.post("/alerts/d-main/disposition", json={"verdict": "unsure"}).status_code == 409
    corrected = client.post("/alerts/d-main/disposition", json=contrary | {"corrects": True})
    assert corrected.json()["state"] == "genuine"
    # For a day the card raises no alert for the same reasons: the stream reads that note.
    assert corrected.json()["suppressed"]["codes"] == ["velocity"]
    with trial.redis().client() as redis:
        kept = notes.read(redis, card_of(501))
    assert [(note.kind, note.codes) for note in kept] == [("cleared", {"velocity"})]
    assert [label["verdict"] for label in labels(trial, "d-main")] == ["fraud", "genuine"]
    assert client.get("/alerts/d-main").json()["alert"]["state"] == "genuine"


def test_unsure_makes_no_label_and_a_later_payment_opens_the_alert_again(
    trial: AlertsTrial, client: httpx.Client
) -> None:
    """Unsure is kept without a label; an alert that was judged is open again when a payment joins."""
    sent(trial, trial.decision(601, "u-1", 60))
    answer = client.post("/alerts/u-1/disposition", json={"verdict": "unsure"}).json()
    assert (answer["state"], answer["labels"]) == ("unsure", 0)
    assert client.post("/alerts/u-1/disposition", json={"verdict": "fraud"}).json()["state"] == "fraud"
    sent(trial, trial.decision(601, "u-2", 10))
    found = client.get("/alerts/u-2").json()
    assert (found["alert"]["state"], len(found["payments"])) == ("open", 2)
    assert [each["verdict"] for each in found["dispositions"]] == ["fraud", "unsure"]
    assert len(labels(trial, "u-1", "u-2")) == 1


def test_what_a_disposition_may_not_say(trial: AlertsTrial, client: httpx.Client) -> None:
    """Card numbers in notes, payments of other cards, unknown verdicts and fields are refused, and nothing is kept."""
    sent(trial, trial.decision(701, "w-1"), trial.decision(702, "w-other"))
    good = {"verdict": "fraud"}
    for wrong in (
        {"note": "it was 4111 1111 1111 1111"},
        {"also": ["w-other"]},
        {"verdict": "maybe"},
        {"extra": 1},
        {"by": "x"},
    ):
        answer = client.post("/alerts/w-1/disposition", json=good | wrong)
        assert answer.status_code == 422, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert "4111" not in answer.text
    assert "principal of the key" in client.post("/alerts/w-1/disposition", json=good | {"by": "me"}).json()["detail"]
    assert client.post("/alerts/nothing/disposition", json=good).status_code == 404
    assert labels(trial, "w-1", "w-other") == []


def test_a_verdict_on_a_payment_is_not_one_on_another_tenants_of_that_id(
    trial: AlertsTrial, client: httpx.Client
) -> None:
    """A mere id in `also` is of the payment's own source; another source is named with it."""
    sent(
        trial,
        trial.decision(721, "same-1", 90),
        trial.decision(721, "same-2", 60),
        trial.decision(721, "same-2", 50, source="other"),
    )
    first = client.post("/alerts/same-1/disposition", json={"verdict": "fraud", "also": ["same-2"]}).json()
    assert {(each["source"], each["transaction_id"]) for each in first["payments"]} == {
        ("trial", "same-1"),
        ("trial", "same-2"),
    }
    named = {"verdict": "fraud", "also": [{"source": "other", "transaction_id": "same-2"}]}
    second = client.post("/alerts/same-1/disposition", json=named).json()
    assert second["payments"] == [{"source": "other", "transaction_id": "same-2"}]


def test_a_tenant_sees_its_own_payments_only(trial: AlertsTrial, desk: Desk) -> None:
    """An alert of two tenants' payments is, to each, an alert of its own: figures, reasons, card, counts and events."""
    add_key(desk.home, "key of t1", "t1", Role.INTEGRATOR, "t1")
    add_key(desk.home, "key of t2", "t2", Role.INVESTIGATOR, "t2")
    with desk.client("key of t1") as one, desk.client("key of t2") as two:
        until(lambda: {each.get("/stats/summary").status_code for each in (one, two)} == {200}, "the keys are in force")
        listener = Listener(desk, key="key of t2")
        until(lambda: bool(listener.events), "the stream has begun")
        sent(
            trial,
            trial.decided(731, payment(731, "t1-a", 90, 1_000, source="t1"), decision="review", score=0.5),
            # Sent twice, it counts once.
            trial.decided(731, payment(731, "t1-a", 90, 1_000, source="t1"), decision="review", score=0.5),
            trial.decided(731, payment(731, "t2-a", 60, 900_000, source="t2"), decision="block", score=0.9),
            trial.decided(732, payment(732, "t1-only", 50, 2_000, source="t1"), decision="review", score=0.5),
        )
        until(lambda: bool(listener.ids()), "an event of the shared alert")
        mine = one.get("/alerts/recent", params={"order": "loss"}).json()["alerts"]
        assert [each["transaction_id"] for each in mine] == ["t1-only", "t1-a"]
        assert [each["action"] for each in mine] == ["review", "review"]
        figures = [(each["payments"], each["amount"], each["expected_loss"]) for each in mine]
        assert figures == [(1, "20.00", "10.00"), (1, "10.00", "5.00")]
        assert [each["transaction_id"] for each in two.get("/alerts/recent").json()["alerts"]] == ["t2-a"]
        pages, cursor = [], None
        for _ in range(2):
            asked = {"order": "loss", "limit": 1} | ({"cursor": cursor} if cursor else {})
            found = one.get("/alerts/recent", params=asked).json()
            pages += [each["transaction_id"] for each in found["alerts"]]
            cursor = found["next_cursor"]
        assert (pages, cursor) == (["t1-only", "t1-a"], None)
        assert one.get("/alerts/t2-a").status_code == 404
        assert one.get("/alerts/t2-a", params={"source": "t2"}).status_code == 404
        assert {each["transaction_id"] for each in one.get("/alerts/t1-a").json()["payments"]} == {"t1-a"}
        for client, name in ((one, "t1-a"), (two, "t2-a")):
            card = client.get(f"/alerts/card/{card_of(731)}").json()
            assert {each["transaction_id"] for each in card["payments"]} == {name}
            assert [each["payments"] for each in card["alerts"]] == [1]
        summary = two.get("/stats/summary", params={"hours": 48}).json()
        assert (summary["decided"], summary["by_action"], summary["alerts_by_state"]) == (1, {"block": 1}, {"open": 1})
        series = two.get("/stats/timeseries", params={"hours": 48, "bucket_s": 3_600}).json()["points"]
        assert sum(each["decided"] for each in series) == 1
        assert two.post("/alerts/t1-a/disposition", json={"verdict": "fraud"}).status_code == 404
        foreign = {"verdict": "fraud", "also": [{"source": "t1", "transaction_id": "t1-a"}]}
        assert two.post("/alerts/t2-a/disposition", json=foreign).status_code == 422
        assert two.post("/alerts/t2-a/disposition", json={"verdict": "fraud", "note": "of t2"}).status_code == 200
        assert one.get("/alerts/t1-a").json()["dispositions"] == []
        assert {event["data"].count('"t1-a"') for event in listener.events if "data" in event} == {0}
        assert labels(trial, "t2-a")[0]["by"] == "t2"
        assert one.get("/stats/summary").json()["dispositions"] == {}
        keyfile.revoke(desk.home / "keys.json", "t2")
        until(listener.ended.is_set, "an open stream ends with its key", 10)
        assert two.get("/alerts/recent").status_code == 401


class Listener:
    """Reads a stream of events in a thread until told to end."""

    def __init__(self, desk: Desk, last: str | None = None, key: str = INVESTIGATOR_KEY) -> None:
        self.key = key
        self.events: list[dict[str, str]] = []
        self.comments = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(desk, last), daemon=True)
        self.thread.start()

    def _run(self, desk: Desk, last: str | None) -> None:
        event: dict[str, str] = {}
        headers = {"Last-Event-ID": last} if last else {}
        with desk.client(self.key) as client, client.stream("GET", "/alerts/stream", headers=headers) as answer:
            assert answer.status_code == 200
            for line in answer.iter_lines():
                if self.ended.is_set():
                    return
                self.comments += line.startswith(":")
                if line:
                    name, _, value = line.partition(": ")
                    event[name] = value
                elif event:
                    self.events.append(event)
                    event = {}
        self.ended.set()

    def ids(self) -> list[int]:
        """Return the numbers of the alerts' changes that came."""
        return [int(event["id"]) for event in self.events if event.get("event") == "alert"]


def test_events_are_resumed_without_a_gap(trial: AlertsTrial, desk: Desk) -> None:
    """A listener that goes and comes back with its last id sees every change between, once, in order."""
    first = Listener(desk)
    until(lambda: bool(first.events), "the stream has begun")
    sent(trial, trial.decision(801, "s-1"))
    until(lambda: len(first.ids()) == 1, "an event")
    until(lambda: first.comments > 0, "a sign of life in silence")
    first.ended.set()
    sent(trial, *(trial.decision(810 + n, f"s-away-{n}") for n in range(5)))
    second = Listener(desk, str(first.ids()[-1]))
    until(lambda: len(second.ids()) == 5, "what was missed")
    assert second.ids() == sorted(second.ids())
    assert min(second.ids()) > first.ids()[-1]
    second.ended.set()


def test_counts_and_health(trial: AlertsTrial, client: httpx.Client) -> None:
    """Summary and series count every decision that the database has; the parts that answer are said to be well."""
    sent(trial, trial.decision(901, "c-1"))
    summary = client.get("/stats/summary", params={"hours": 48}).json()
    series = client.get("/stats/timeseries", params={"hours": 48, "bucket_s": 600}).json()
    counted = trial.count("decisions")
    assert summary["decided"] == counted == sum(point["decided"] for point in series["points"])
    assert client.get("/stats/timeseries", params={"hours": 700, "bucket_s": 1}).status_code == 422

    def parts() -> dict[str, Any]:
        return {part["name"]: part for part in client.get("/pipeline/health").json()["components"]}

    until(lambda: parts()["alerts-sink"]["figures"]["lag"] == 0, "the sink has come to the end")
    for name in ("scorer", "redis", "kafka", "postgres", "alerts-sink", "refused-decisions"):
        assert parts()[name]["ok"], parts()[name]
    assert parts()["bronze"]["ok"] is None


def test_a_key_is_needed(desk: Desk) -> None:
    """Without the API key no route of alerts answers; the console leads to its form."""
    with desk.client(None) as stranger:
        for path in ("/alerts/recent", "/alerts/stream", "/stats/summary", "/pipeline/health", "/alerts/x"):
            assert stranger.get(path).status_code == 401, path
        assert stranger.post("/alerts/x/disposition", json={}).status_code == 401
        for path in ("/console/queue", "/console/stream", "/console/alerts/1", "/console/pipeline"):
            answer = stranger.get(path)
            assert (answer.status_code, answer.headers.get("location")) == (303, "/console/sign-in"), path
        assert stranger.post("/console/alerts/1/disposition", data={"verdict": "fraud"}).status_code == 303


def test_every_route_is_described_with_an_example(client: httpx.Client) -> None:
    """The OpenAPI page has each route of alerts with an example of its answer and its problems."""
    paths = client.get("/openapi.json").json()["paths"]
    ours = {
        path: found for path, found in paths.items() if path.startswith(("/alerts", "/payments", "/stats", "/pipeline"))
    }
    assert len(ours) == 14
    for path, found in ours.items():
        for operation in found.values():
            answer = next(iter(operation["responses"]["200"]["content"].values()))
            assert answer["example"], path
            assert "401" in operation["responses"]
            assert operation["security"] == [{"ApiKey": []}]


def test_postgres_away_is_503_on_history_routes_only(
    trial: AlertsTrial, client: httpx.Client, stack: Home, scorer: Scorer
) -> None:
    """While PostgreSQL is gone /predict and the pipeline's health answer; history is 503 and comes back by itself."""
    sent(trial, trial.decision(950, "away-1"))
    supervise.stop_service(stack, "postgres")
    try:
        for path in ("/alerts/recent", "/alerts/away-1", "/stats/summary", "/stats/timeseries", "/alerts/stream"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (503, "history_unavailable"), path
        said = {"verdict": "fraud"}
        assert client.post("/alerts/away-1/disposition", json=said).status_code == 503
        assert predict(scorer, 1) == 200
        assert scorer.status("/health/ready") == 200
        troubles = client.get("/pipeline/alerts").json()["troubles"]
        assert "postgres" in {trouble["component"] for trouble in troubles}
        assert all(trouble["do"] for trouble in troubles)
    finally:
        supervise.start_service(stack, "postgres")
    wait_until(lambda: why_not("postgres", required(stack)) is None, "PostgreSQL answers again")
    until(lambda: client.get("/alerts/away-1").status_code == 200, "history answers again")
    sent(trial, trial.decision(951, "away-2"))
    assert client.post("/alerts/away-1/disposition", json=said).json()["labels"] == 1


def test_kafka_away_keeps_the_verdict_and_sends_it_later(
    trial: AlertsTrial, client: httpx.Client, stack: Home, scorer: Scorer
) -> None:
    """Without Kafka the disposition is kept and answered 503; its label comes when Kafka does, by the sink's hand."""
    sent(trial, trial.decision(960, "kafka-1"))
    supervise.stop_service(stack, "kafka")
    try:
        said = {"verdict": "fraud"}
        answer = client.post("/alerts/kafka-1/disposition", json=said, timeout=60)
        assert (answer.status_code, answer.json()["code"]) == (503, "labels_not_sent")
        found = client.get("/alerts/kafka-1").json()
        assert found["alert"]["state"] == "fraud"
        assert found["dispositions"][0]["sent_at"] is None
        assert predict(scorer, 2) == 200
    finally:
        supervise.start_service(stack, "kafka")
    wait_until(lambda: why_not("kafka", required(stack)) is None, "Kafka answers again")
    until(lambda: client.get("/alerts/kafka-1").json()["dispositions"][0]["sent_at"] is not None, "it is sent", 120)
    made = labels(trial, "kafka-1")
    assert {(label["verdict"], label["known_at"]) for label in made} == {("fraud", made[0]["known_at"])}
