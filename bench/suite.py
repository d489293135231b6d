"""Which measurements make up each part of `make bench`, at full length and for a quick look."""

from collections.abc import Iterable

from bench.figures import Section


def measure(part: str, *, quick: bool) -> Iterable[Section]:
    """Measure one part (a name of PARTS) and return its sections, each as it is done if they take long."""
    if part == "ingest":
        from bench.lake import ingest

        return [ingest.measure(runs=1, rows=50_000) if quick else ingest.measure()]
    if part == "bronze":
        from bench.lake import bronze

        return [bronze.measure(warm=1) if quick else bronze.measure()]
    if part == "freshness":
        from bench.lake import freshness

        return [freshness.measure(warm_s=15, seconds=20) if quick else freshness.measure()]
    if part == "features":
        from bench.lake import online

        return [online.measure(runs=2) if quick else online.measure()]
    if part == "windows":
        from bench.deciding import windows

        return [windows.measure(runs=2, days=10) if quick else windows.measure()]
    if part == "lists":
        from bench.deciding import lists

        return [lists.measure(100_000, 5) if quick else lists.measure()]
    if part == "backtest":
        from bench.lake import backtest

        return [backtest.measure(runs=1, count=100_000, compared=10_000) if quick else backtest.measure()]
    if part == "dashboards":
        from bench.lake import dashboards

        return [dashboards.measure(runs=2, rounds=5) if quick else dashboards.measure()]
    if part == "stream":
        from bench.deciding import stream

        return stream.measure(runs=1, seconds=15, rounds=1) if quick else stream.measure()
    if part == "model":
        from bench.deciding import model

        return [model.measure(rounds=2) if quick else model.measure()]
    if part == "dbt":
        from bench.lake import gold_runs

        return gold_runs.measure(runs=1, sizes=(200_000,)) if quick else gold_runs.measure()
    from bench.deciding import predict

    return predict.measure(runs=1, seconds=10, rounds=2, round_s=4) if quick else predict.measure()
