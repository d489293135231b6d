"""`/predict`: latency at a constant 300/s, idle and beside 500 payments/s, and saturated against MLflow's server."""

import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import orjson

from bench import stack
from bench.deciding.model import champion
from bench.figures import Figure, Section, at_least, at_most, ratios
from bench.lake import freshness
from bench.load import http as load
from bench.load import payments
from bench.load.answers import Answers
from bench.load.connections import Post
from bench.peers import mlflow_serve
from settings import settings

RATE = 300
CONNECTIONS = 8
WARM_S = 3
RUN_IN_S = 10


def post() -> Post:
    """Return the scorer's `/predict` with our key."""
    return Post(f"{settings().api_url}/predict", {"x-api-key": stack.api_key()})


def bodies() -> Iterator[bytes]:
    """Return bodies to score for ever: real cards and acceptors, fresh ids, some unusual ones."""
    return payments.bodies(payments.to_score(payments.sample()))


def measure(runs: int = 3, seconds: float = 20, rounds: int = 5, round_s: float = 8) -> list[Section]:
    """Measure idle, beside payments, and saturated."""
    scorer, scored = post(), bodies()
    load.closed_loop(scorer, scored, CONNECTIONS, WARM_S)
    idle = [load.open_loop(scorer, scored, RATE, seconds) for _ in range(runs)]
    with freshness.payments_flow(freshness.RATE, RUN_IN_S + runs * (seconds + 1)):
        time.sleep(RUN_IN_S)
        busy = [load.open_loop(scorer, scored, RATE, seconds) for _ in range(runs)]
    return [
        _steady("/predict at 300/s, stack up and idle", idle, p50_ms=2, p99_ms=15),
        _steady("/predict at 300/s beside 500 payments/s", busy, p50_ms=5, p99_ms=60),
        saturated(scorer, scored, rounds, round_s),
    ]


def saturated(scorer: Post, scored: Iterator[bytes], rounds: int, seconds: float) -> Section:
    """Saturate the scorer and both peers in turn, 8 connections and one worker each, warmed."""
    found = champion()
    rows = mlflow_serve.bodies(found.rows(mlflow_serve.ROWS))
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as servers:
        folder = Path(name)
        onnx = Post(servers.enter_context(mlflow_serve.serving(mlflow_serve.save_onnx(folder, found.onnx))))
        sklearn = Post(servers.enter_context(mlflow_serve.serving(mlflow_serve.save_sklearn(folder, found.text))))
        sides = {"ours": (scorer, scored), "onnx": (onnx, rows), "sklearn": (sklearn, rows)}
        for target, requests in sides.values():
            load.closed_loop(target, requests, CONNECTIONS, WARM_S)
        answers: dict[str, list[Answers]] = {side: [] for side in sides}
        for _ in range(rounds):
            for side, (target, requests) in sides.items():
                answers[side].append(load.closed_loop(target, requests, CONNECTIONS, seconds))
    rates = {side: [each.rate for each in runs] for side, runs in answers.items()}
    return Section(
        f"Saturated, {CONNECTIONS} connections, one worker each, in turn",
        [
            Figure("/predict", "answers/s", rates["ours"], None, _outcomes(answers["ours"])),
            Figure("mlflow models serve, ONNX", "answers/s", rates["onnx"], None, _outcomes(answers["onnx"])),
            Figure("mlflow models serve, sklearn", "answers/s", rates["sklearn"], None, _outcomes(answers["sklearn"])),
            Figure("/predict over mlflow ONNX", "x", ratios(rates["ours"], rates["onnx"]), at_least(1.5)),
            Figure("/predict over mlflow sklearn", "x", ratios(rates["ours"], rates["sklearn"]), at_least(2.5)),
            Figure("/predict p99 while saturated", "ms", [each.quantile(99) for each in answers["ours"]]),
        ],
    )


def run(rate: float, seconds: float, connections: int | None, timeout_s: float, json_file: Path | None) -> Answers:
    """Put one load on `/predict`, open loop or (with `connections`) closed, and keep its summary in `json_file`."""
    degraded: Counter[str] = Counter()

    def look(status: int, body: bytes) -> None:
        if status == 200:
            found = orjson.loads(body)
            degraded["degraded" if found.get("degraded") else "whole"] += 1
            degraded[f"decision {found.get('decision')}"] += 1

    scorer, scored = post(), bodies()
    if connections:
        answers = load.closed_loop(scorer, scored, connections, seconds, timeout_s=timeout_s, on_answer=look)
    else:
        answers = load.open_loop(scorer, scored, rate, seconds, timeout_s=timeout_s, on_answer=look)
    if json_file:
        json_file.write_text(json.dumps(answers.summary() | {"answers": dict(degraded)}, indent=2))
    return answers


def _steady(title: str, runs: list[Answers], p50_ms: float, p99_ms: float) -> Section:
    return Section(
        title,
        [
            Figure("p50", "ms", [each.quantile(50) for each in runs], at_most(p50_ms), _outcomes(runs)),
            Figure("p99", "ms", [each.quantile(99) for each in runs], at_most(p99_ms), "from the scheduled send"),
            Figure("p99.9", "ms", [each.quantile(99.9) for each in runs]),
            Figure("without a 2xx answer", "requests", [float(each.failed) for each in runs], at_most(0)),
        ],
    )


def _outcomes(runs: list[Answers]) -> str:
    total: Counter[str] = Counter()
    for each in runs:
        total.update(each.counts)
    return ", ".join(f"{outcome}: {count:,}" for outcome, count in sorted(total.items()))
