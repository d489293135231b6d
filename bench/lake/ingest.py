"""From a file to acknowledged Kafka, by `python -m ingestion replay`, beside a naive producer; and Avro beside JSON."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from bench import stack
from bench.figures import Figure, Section, at_least, at_most, ratios
from bench.lake.bronze import namespace
from bench.load import payments
from bench.load.payments import Payment
from bench.load.traffic import encode
from bench.peers import producers
from contracts.topics import TRANSACTIONS
from features import DAY_US

ROWS = 100_000
AGE_US = 3 * DAY_US
"""A file holds the past: the stream observes it. Deciding newer payments would take a core from what is measured."""
COPIED = (
    "merchant_id",
    "mcc",
    "merchant_country",
    "card_country",
    "latitude",
    "longitude",
    "entry_mode",
    "authentication",
    "currency",
    "utc_offset_min",
)
"""Fields that the file has under their own names."""


def measure(runs: int = 3, rows: int = ROWS) -> Section:
    """Replay a Parquet file and send the same payments naively, in turn; then compare sizes.

    With the target the stream scorer is stopped, whose work on the same payments takes a core of the machine's.
    """
    found = payments.sample()
    ours, naive, stages = [], [], []
    with tempfile.TemporaryDirectory(prefix="bench-") as name, namespace() as spare:
        folder = Path(name)
        mapping = write_mapping(folder)

        def replay(seed: int) -> tuple[list[Payment], dict[str, Any]]:
            batch = payments.to_send(found, rows, seed=seed)
            file = write_file(folder, batch)
            return batch, stack.report("ingestion", "replay", str(file), "--mapping", str(mapping), "--speed", "max")

        at_work = [float(replay(run)[1]["payments_per_s"]) for run in range(runs)]
        with stack.without("stream"):
            for run in range(runs):
                batch, report = replay(runs + run)
                stages.append(report)
                ours.append(float(report["payments_per_s"]))
                naive.append(producers.avro_serializer(f"{spare}.{TRANSACTIONS.name}", batch))
    avro, text = sum(len(value) for _, value in encode(batch)), producers.json_bytes(batch)
    return Section(
        "Ingestion: file to acknowledged Kafka, one process",
        [
            Figure(
                "replay of a Parquet file",
                "payments/s",
                ours,
                at_least(25_000),
                f"{rows:,} rows, hashed, validated; the stream scorer stopped",
            ),
            *costs(stages),
            Figure("naive: AvroSerializer, from memory, unchecked", "payments/s", naive),
            Figure("replay over naive", "x", ratios(ours, naive)),
            Figure("replay, the stream scorer observing it meanwhile", "payments/s", at_work),
            Figure("Avro a payment", "bytes", [avro / rows]),
            Figure("JSON a payment", "bytes", [text / rows], None, "compact, nulls left out"),
            Figure("Avro over JSON", "x", [avro / text], at_most(0.5)),
        ],
    )


def costs(stages: Sequence[dict[str, Any]]) -> list[Figure]:
    """Return what each stage of the replay cost, in microseconds a payment."""
    sent = [report["topics"][TRANSACTIONS.name]["acknowledged"] for report in stages]
    return [
        Figure(
            f"  {name}",
            "us a payment",
            [report["stage_seconds"][name] / count * 1e6 for report, count in zip(stages, sent, strict=True)],
        )
        for name in (stages[0]["stage_seconds"] if stages else ())
    ]


def write_file(folder: Path, batch: Sequence[Payment]) -> Path:
    """Write payments as an owner of data has them: card numbers in place of hashes, whole units, text times."""
    columns: dict[str, list[Any]] = {
        "id": [payment["transaction_id"] for payment in batch],
        "time": [payment["event_time"] - AGE_US for payment in batch],
        "card": [f"{payments.SOURCE} {payment['card_id'][:16]}" for payment in batch],
        "amount": [payment["amount_minor"] for payment in batch],
    } | {name: [payment[name] for payment in batch] for name in COPIED}
    path = folder / "payments.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def write_mapping(folder: Path) -> Path:
    """Write the mapping of that file."""
    fields: dict[str, Any] = {
        "transaction_id": {"column": "id"},
        "event_time": {"column": "time", "format": "unix_us"},
        "card_id": {"column": "card"},
        "amount_minor": {"column": "amount", "unit": "minor"},
    } | {name: {"column": name} for name in COPIED}
    path = folder / "mapping.yaml"
    path.write_text(yaml.safe_dump({"source": payments.SOURCE, "fields": fields}))
    return path
