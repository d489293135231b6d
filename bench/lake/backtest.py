"""What it takes to judge the past: a rule over a million logged decisions, and parity over fifty thousand."""

import tempfile
from pathlib import Path
from time import perf_counter

from bench import stack
from bench.figures import Figure, Section, at_most
from bench.lake import many

DECISIONS = 1_000_000
COMPARED = 50_000
RULE = """rules:
  - name: burst
    condition: tx_count_5min >= 3 && amount > 50
    action: review
    priority: 1
    owner: bench
    sentence: several payments within five minutes
"""


def measure(runs: int = 3, count: int = DECISIONS, compared: int = COMPARED) -> Section:
    """Time both commands from their start to their end, on the lake's own decisions, repeated under new cards."""
    with many.decisions(count, history=False) as (environment, tried, first, last), tempfile.TemporaryDirectory() as at:
        rules = Path(at) / "rules.yaml"
        rules.write_text(RULE)
        asked = ("ml", "backtest", "--rules", str(rules), "--from", str(first), "--to", str(last))
        backtests, found = [], {}
        for _ in range(runs):
            began = perf_counter()
            found = stack.report(*asked, environment=environment)
            backtests.append(perf_counter() - began)
    with many.decisions(compared, history=True) as (environment, judged, *_):
        parities, report = [], {}
        for _ in range(runs):
            began = perf_counter()
            report = stack.report("ml", "parity", environment=environment)
            parities.append(perf_counter() - began)
    shares = f"{found['payments']:,} payments, {found['logged_share']:.1%} of them logged; {tried:,} decisions"
    equal = f"{judged:,} decisions, {report['unexplained']} unexplained"
    return Section(
        "The past, judged again",
        [
            Figure("backtest of a rule", "s", backtests, at_most(30), shares),
            Figure("parity", "s", parities, at_most(60), equal),
        ],
    )
