"""Producer, replay, simulate and dead letters on a real broker: what is said to be sent is there, to the message."""

import json
import subprocess
import sys
import time
from collections import Counter

import pytest

from clients import kafka, registry
from contracts import schemas, wire
from contracts.deadletter import Context, Stage
from contracts.identity import hash_key, keyed_hash
from contracts.topics import DEAD_LETTERS, LABELS, TRANSACTIONS, Topic
from errors import ServerError, UnreachableError
from ingestion.producer import Origin, Sender
from ingestion.simulator import bad_records
from settings import PROJECT_DIR, settings

pytestmark = pytest.mark.usefixtures("stack")
SAMPLE = PROJECT_DIR / "tests" / "data" / "sparkov-sample.csv"
SPARKOV = PROJECT_DIR / "ingestion" / "mappings" / "sparkov.yaml"
CARD = "4511766867019978"


def ingest(*arguments, code=0):
    """Run `python -m ingestion`; returns what it said, and its summary if it wrote one."""
    done = subprocess.run(
        [sys.executable, "-m", "ingestion", *map(str, arguments)],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def summary(tmp_path, *arguments):
    file = tmp_path / "summary.json"
    ingest(*arguments, "--json", file)
    return json.loads(file.read_text())


class Mark:
    """The ends of a topic now; `new` are the messages since."""

    def __init__(self, topic):
        self.topic, self.ends = topic.name, kafka.ends(topic.name)

    def new(self):
        """Return the messages after the mark."""
        return [m for m in kafka.read_all(self.topic) if m.offset() >= self.ends[m.partition()]]


def payment(number, **changes):
    required = {
        "source": "kafka-test",
        "transaction_id": f"{time.time_ns():x}-{number}",
        "currency": "EUR",
        "event_time": time.time_ns() // 1000,
        "card_id": f"{number:064x}",
        "amount_minor": number,
    }
    return schemas.defaults("transaction") | required | changes


def test_a_replayed_file_is_on_kafka_to_the_message(tmp_path):
    """3,000 payments and 60 labels of the sample: acknowledged = on the topics, decodable, keyed by the hashed card."""
    payments, labels = Mark(TRANSACTIONS), Mark(LABELS)
    found = summary(tmp_path, "replay", SAMPLE, "--mapping", SPARKOV, "--timings")
    on_kafka = payments.new()
    assert found["topics"][TRANSACTIONS.name] | {"bytes_each": None} == {
        "sent": 3000,
        "acknowledged": 3000,
        "letters": 0,
        "balances": True,
        "bytes_each": None,
    }
    assert len(on_kafka) == 3000
    assert len(labels.new()) == found["topics"][LABELS.name]["acknowledged"] == 60
    writer, partitions = registry.writers(), {}
    for message in on_kafka:
        record = wire.decode(message.value(), writer, "transaction")[1]
        assert message.key() == record["card_id"].encode()
        assert partitions.setdefault(message.key(), message.partition()) == message.partition()
    key = hash_key(settings().card_hash_key.get_secret_value())
    assert keyed_hash(key, CARD).encode() in partitions
    raw = {line.split("|")[0].encode() for line in SAMPLE.read_text().splitlines()[1:]}
    everything = b"".join((m.key() or b"") + m.value() for m in on_kafka)
    assert not [card for card in raw if card in everything]


def test_times_rise_within_a_partition(tmp_path):
    """A replay sends by time, so each partition is in the order of event_time."""
    mark = Mark(TRANSACTIONS)
    summary(tmp_path, "replay", SAMPLE, "--mapping", SPARKOV)
    writer, last = registry.writers(), Counter()
    for message in mark.new():
        at = wire.decode(message.value(), writer, "transaction")[1]["event_time"]
        assert at >= last[message.partition()]
        last[message.partition()] = at


def test_bad_rows_become_letters_and_stop_nothing(tmp_path):
    """Sent = acknowledged + letters; a letter is JSON without the card number, with file and row in its headers."""
    file = tmp_path / "bad.csv"
    head = "cc_num|trans_num|unix_time|category|amt|is_fraud|merchant|merch_lat|merch_long|acct_num"
    good = f"{CARD}|{{}}|1708923820|grocery_pos|61.22|1|m|1|2|9"
    wrong = [
        f"{CARD}|x1|1708923820|grocery_pos|61.225|0|m|1|2|9",
        f"{CARD}|x2|1708923820|grocery_pos|-1.00|1|m|1|2|9",
        f"{CARD}|x3|1708923820|{CARD}|1.00|0|m|1|2|9",
        f"{CARD}|x4",
    ]
    file.write_text("\n".join([head, good.format("a"), *wrong, good.format("b")]))
    payments, labels, letters = Mark(TRANSACTIONS), Mark(LABELS), Mark(DEAD_LETTERS)
    found = summary(tmp_path, "replay", file, "--mapping", SPARKOV)
    counts = found["topics"][TRANSACTIONS.name]
    assert (counts["sent"], counts["acknowledged"], counts["letters"]) == (6, 2, 4)
    assert found["letters_by_code"] == {"negative_amount": 1, "unmappable": 3}
    assert (len(payments.new()), len(labels.new()), found["labels_of_rejected"]) == (2, 2, 1)
    contexts = {}
    for message in letters.new():
        context = Context.read(message.headers())
        contexts[context.row] = context
        assert CARD.encode() not in message.value() + (message.key() or b"") + str(message.headers()).encode()
        assert isinstance(json.loads(message.value()), dict)
    assert {row: context.code for row, context in contexts.items()} == {
        2: "unmappable",
        3: "negative_amount",
        4: "unmappable",
        5: "unmappable",
    }
    assert {(c.stage, c.file, c.source_topic) for c in contexts.values()} == {
        (Stage.PRODUCER, "bad.csv", TRANSACTIONS.name)
    }


def test_a_file_that_cannot_be_trusted_sends_nothing(tmp_path):
    """Colliding ids, a wrong column, a wrong speed: exit 1, a reason that helps, and no message."""
    file = tmp_path / "twice.csv"
    file.write_text("id,time,card,amount\na,2024-01-01,1,1.00\na,2024-01-01,2,2.00\n")
    fields = """source: test
fields:
  transaction_id: {column: id}
  event_time: {column: time}
  card_id: {column: card}
  amount_minor: {column: amount, unit: major}
  currency: {constant: EUR}
"""
    (tmp_path / "map.yaml").write_text(fields)
    (tmp_path / "wrong.yaml").write_text(fields.replace("card}", "pan}"))
    marks = [Mark(TRANSACTIONS), Mark(LABELS), Mark(DEAD_LETTERS)]
    assert "1 transaction ids stand for 2 different payments" in ingest(
        "replay", file, "--mapping", tmp_path / "map.yaml", code=1
    )
    assert "1 colliding ids" in ingest("replay", file, "--mapping", tmp_path / "map.yaml", "--dry-run", code=1)
    said = ingest("replay", file, "--mapping", tmp_path / "wrong.yaml", code=1)
    assert "no column 'pan'" in said
    assert "id, time, card, amount" in said
    assert "--speed" in ingest("replay", file, "--mapping", tmp_path / "map.yaml", "--speed", "warp", code=1)
    assert [mark.new() for mark in marks] == [[], [], []]


def test_a_factor_plays_the_files_own_rhythm(tmp_path):
    """At factor 10, two payments 30 s apart in the file reach Kafka 3 s apart."""
    now = int(time.time()) - 100_000
    lines = [f"{CARD}|p{n}|{now + 30 * n}|home|1.00|0|m|1|2|9" for n in range(2)]
    (tmp_path / "slow.csv").write_text(
        "cc_num|trans_num|unix_time|category|amt|is_fraud|merchant|merch_lat|merch_long|acct_num\n" + "\n".join(lines)
    )
    mark = Mark(TRANSACTIONS)
    summary(tmp_path, "replay", tmp_path / "slow.csv", "--mapping", SPARKOV, "--speed", "10")
    first, second = sorted(message.timestamp()[1] for message in mark.new())
    assert 2_700 <= second - first <= 6_000


def test_a_simulated_history_and_its_bad_records_balance(tmp_path):
    """Payments, labels and bad bytes of every kind: all acknowledged, all on Kafka, the bad ones as they were made."""
    payments, labels = Mark(TRANSACTIONS), Mark(LABELS)
    found = summary(
        tmp_path,
        "simulate",
        "--days",
        "3",
        "--cards",
        "300",
        "--bad-share",
        "0.05",
        "--fraud-rate",
        "0.05",
        "--seed",
        "5",
        "--label-delay",
        "6h",
    )
    on_kafka = payments.new()
    counts = found["topics"][TRANSACTIONS.name]
    assert counts["sent"] == counts["acknowledged"] == len(on_kafka)
    assert found["topics"][LABELS.name]["acknowledged"] == len(labels.new()) > 0
    assert found["labels_later"] > 0
    sent = found["bad_sent"]
    assert set(sent) == set(bad_records.KINDS)
    assert abs(sum(sent.values()) / len(on_kafka) - 0.05) < 0.01
    assert sum(m.value()[:1] == b"\x01" for m in on_kafka) == sent["wrong_magic_byte"]
    assert sum(len(m.value()) > 1_000_000 for m in on_kafka) == sent["oversized"]
    values = Counter(m.value() for m in on_kafka)
    assert sum(count - 1 for count in values.values()) == sent["exact_repeat"]
    assert sum(found["expected_dead_letters"].values()) + sum(
        sent[name] for name, kind in bad_records.KINDS.items() if kind.code is None
    ) == sum(sent.values())


def test_the_same_history_twice_is_a_repeat(tmp_path):
    """The payments of a day are the same in every run with the same seed, so a second history adds no new payment."""
    runs = []
    for _ in range(2):
        mark = Mark(TRANSACTIONS)
        summary(tmp_path, "simulate", "--days", "2", "--cards", "100", "--seed", "6")
        runs.append({message.value() for message in mark.new()})
    assert len(runs[0] & runs[1]) > 0.95 * len(runs[0])


def test_live_traffic_keeps_its_rate_and_sends_labels_when_due(tmp_path):
    """100 messages a second for 4 s with 10 % fraud known a second later: the rate holds, labels follow payments."""
    payments, labels = Mark(TRANSACTIONS), Mark(LABELS)
    found = summary(
        tmp_path,
        "simulate",
        "--tps",
        "100",
        "--seconds",
        "4",
        "--fraud-rate",
        "0.1",
        "--label-delay",
        "1s",
        "--seed",
        "7",
    )
    on_kafka = payments.new()
    assert 340 <= len(on_kafka) == found["topics"][TRANSACTIONS.name]["acknowledged"] <= 460
    writer = registry.writers()
    ids = {wire.decode(m.value(), writer, "transaction")[1]["transaction_id"] for m in on_kafka}
    told = [wire.decode(m.value(), writer, "label")[1] for m in labels.new()]
    known = [label for label in told if label["transaction_id"] in ids]
    assert known
    assert all(label["known_at"] <= time.time_ns() // 1000 for label in known)


def test_back_pressure_waits_and_keeps_order(monkeypatch):
    """A producer's queue far smaller than the batch is waited for: all is acknowledged, each card in its order."""
    monkeypatch.setattr(kafka, "QUEUE_MESSAGES", 300)
    monkeypatch.setattr("ingestion.producer.LARGEST_BATCH", 100)
    mark = Mark(TRANSACTIONS)
    sender = Sender()
    sender.payments([payment(number % 7, amount_minor=number) for number in range(5_000)])
    counts = sender.close()
    assert counts.acknowledged[TRANSACTIONS.name] == counts.sent[TRANSACTIONS.name] == 5_000
    writer, last = registry.writers(), {}
    for message in mark.new():
        amount = wire.decode(message.value(), writer, "transaction")[1]["amount_minor"]
        assert amount > last.get(message.key(), -1)
        last[message.key()] = amount
    assert len(last) == 7


def test_letters_are_listed_shown_and_sent_again(tmp_path):
    """A letter of Bronze goes back with key and bytes untouched; a producer's one only once it breaks no rule."""
    code = f"test_{time.time_ns():x}"
    key, value = b"some key", b"\x01 not ours \xff"
    sender = Sender()
    now_ms = time.time_ns() // 1_000_000
    context = Context(Stage.BRONZE, code, "made by a test", now_ms, TRANSACTIONS.name, 0, 4711)
    sender.raw(DEAD_LETTERS.name, key, value, context.headers())
    mended, broken = payment(1), payment(2, amount_minor=-5)
    late = Context(Stage.PRODUCER, code, "made by a test", now_ms, TRANSACTIONS.name, file="f.csv", row=1)
    for record in (mended, broken):
        sender.raw(DEAD_LETTERS.name, record["card_id"].encode(), json.dumps(record).encode(), late.headers())
    sender.close()
    listed = ingest("dlq", "list", "--code", code, "--each", "9")
    assert "3 letters on" in listed
    assert "f.csv row 1" in listed
    assert f"{TRANSACTIONS.name}/0/4711" in listed
    place = next(line.split()[0] for line in listed.splitlines() if "4711: made by" in line)
    shown = ingest("dlq", "show", place)
    assert "01 20 6e 6f 74" in shown
    assert "bad_magic_byte" in shown
    mark = Mark(TRANSACTIONS)
    assert "would send again" in ingest("dlq", "replay", "--code", code, "--dry-run")
    assert mark.new() == []
    said = ingest("dlq", "replay", "--code", code, "--since", "1h", "--until", "2099-01-01")
    assert "2 of 3 letters sent again" in said
    assert "still rejected, not sent: negative_amount: 1" in said
    again = {message.key(): message for message in mark.new()}
    assert set(again) == {key, mended["card_id"].encode()}
    assert again[key].value() == value
    assert dict(again[key].headers())["dlq-origin"] == f"{DEAD_LETTERS.name}/{place}".encode()
    decoded = wire.decode(again[mended["card_id"].encode()].value(), registry.writers(), "transaction")[1]
    assert decoded == mended
    assert "0 letters" in ingest("dlq", "list", "--code", code, "--until", "1h")


def test_a_place_without_a_letter_is_an_error():
    """`dlq show` of nothing says so."""
    assert "has no message at 0/99999999" in ingest("dlq", "show", "0/99999999", code=1)
    assert "give partition/offset" in ingest("dlq", "show", "first", code=1)


def test_one_bad_record_among_good_ones_is_a_letter_with_its_row():
    """The producer itself turns what the validation refuses into a letter, and returns it."""
    letters = Mark(DEAD_LETTERS)
    sender = Sender()
    invalid, unfit = payment(2, currency="XXY"), payment(4, message_type=None)
    rejected = sender.payments([payment(1), invalid, payment(3), unfit], Origin("mine.csv", [10, 11, 12, 13]))
    counts = sender.close()
    assert rejected == [invalid, unfit]
    assert (counts.acknowledged[TRANSACTIONS.name], counts.letters[TRANSACTIONS.name]) == (2, 2)
    contexts = [Context.read(message.headers()) for message in letters.new()]
    assert {(context.code, context.row, context.file) for context in contexts} == {
        ("unknown_currency", 11, "mine.csv"),
        ("not_encodable", 13, "mine.csv"),
    }


def test_topics_are_as_the_contract_says(monkeypatch):
    """Making topics again is harmless; a topic with other partitions is refused, since cards would move."""
    kafka.ensure_topics()
    other = Topic(LABELS.name, LABELS.partitions + 1, LABELS.schema)
    monkeypatch.setattr(kafka, "TOPICS", (TRANSACTIONS, other))
    with pytest.raises(ServerError, match="a card would change its partition"):
        kafka.ensure_topics()


def test_a_broker_that_is_gone_is_named(monkeypatch):
    """No broker at the address: an error of ours that names it, in seconds."""
    gone = settings().model_copy(update={"kafka_bootstrap": "127.0.0.1:9"})
    monkeypatch.setattr(kafka, "settings", lambda: gone)
    monkeypatch.setattr(kafka, "TIMEOUT_S", 1.0)
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9"):
        kafka.offsets(TRANSACTIONS.name)
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9"):
        kafka.ensure_topics()
