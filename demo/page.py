"""The closing page: what went in, what came out at every link, what the model is worth, and what to try next."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from rich.table import Table

from demo.run import console
from settings import lakehouse_home, settings


def show(found: dict[str, Any]) -> bool:
    """Print the page; return whether every count balances."""
    console.rule("[bold]What happened[/]")
    console.print(_counts(found))
    balances = found["balance"]["balances"] and found["online"]["equal"]
    for problem in found["balance"]["problems"]:
        console.print(f"[red]does not balance:[/] {problem}")
    console.print("[green]every count balances[/]\n" if balances else "[red]the counts do not balance[/]\n")
    console.print("[bold]The model beside trivial baselines[/], on days that it never saw")
    for table in _models(found["model"]):
        console.print(table)
    console.print(_NOTE)
    console.print(_thefts(found["model"]["thefts"]))
    if "attacks" in found:
        _attacks(found["attacks"])
    _live(found["live"])
    _decision(found["decision"], found["reproduced"])
    _travel(found["travel"])
    _latency(found["load"])
    console.print(_seconds(found["seconds"]))
    _next()
    return bool(balances)


_NOTE = (
    "[dim]Simulated payments prove the path, not the quality of a model. "
    "Judge it on your own payments: make demo INPUT=yours.parquet MAPPING=yours.yaml[/]\n"
)


def _counts(found: dict[str, Any]) -> Table:
    balance, online = found["balance"], found["online"]
    table = Table("link", "rows", "", title="The line", title_justify="left")
    table.columns[1].justify = "right"
    topics = [report["topics"]["transactions.raw"] for report in found["sent"]]
    table.add_row(
        "sent to transactions.raw", _n(sum(t["sent"] for t in topics)), "payments and bad records, by this tour"
    )
    if file := found.get("own"):
        table.add_row("  of it in Bronze", _n(file["bronze"]), f"source {file['source']}")
        table.add_row("  of it in Silver", _n(file["silver"]), f"source {file['source']}, once per payment")
    table.add_row("acknowledged by Kafka", _n(balance["acknowledged"]), "all that ever was, also before this tour")
    table.add_row("Bronze", _n(balance["bronze"]), "once per source offset")
    letters = ", ".join(f"{code} {count:,}" for code, count in sorted(balance["letters_by_code"].items()))
    table.add_row("dead letters", _n(balance["dead_letters"]), letters or "none")
    table.add_row(
        "Silver",
        _n(balance["silver"]),
        f"{balance['repeats']:,} repeats dropped, {balance['conflicts']:,} conflicts set aside",
    )
    labels = balance["labels"]
    table.add_row("labels in Bronze", _n(labels["bronze"]), f"of {labels['acknowledged']:,} acknowledged")
    decisions = balance["decisions"]
    table.add_row("acknowledged on decisions", _n(decisions["acknowledged"]), "by both doors, also before this tour")
    table.add_row("decisions in Bronze", _n(decisions["bronze"]), "bronze.decisions, once per source offset")
    answered = found["reproduced"]["answered"]
    table.add_row("  of them by /predict", _n(answered), "each on disk before it was answered; origin api")
    for name, rows in balance["gold"].items():
        table.add_row(name, _n(rows), "")
    for name, word in (("card", "cards"), ("acceptor", "acceptors")):
        group = online[name]
        table.add_row(f"Redis, {word}", _n(group["redis"]), f"newest profile of each; Gold has {group['gold']:,}")
    return table


def _models(model: dict[str, Any]) -> Iterator[Table]:
    figures = {
        "average precision": "average_precision",
        f"card precision @ {model['k']}": "card_precision",
        "ROC AUC": "roc_auc",
        "recall @ 2% false positives": "recall",
        "precision there": "precision",
    }
    for group in model["sets"]:
        title = f"{group['name']}: {group['rows']:,} payments of {group['cards']:,} cards, {group['frauds']:,} fraud"
        table = Table("scored by", *figures, title=title, title_justify="left")
        for column in table.columns[1:]:
            column.justify = "right"
        for line in group["models"]:
            values = (line[name] for name in figures.values())
            table.add_row(line["model"], *("-" if v is None else f"{v:.3f}" for v in values))
        yield table


def _thefts(thefts: list[dict[str, Any]]) -> Table:
    title = "Whole thefts of the last month of those days, by length, and where the model's threshold first stops them"
    table = Table("theft", "thefts", "stopped", "first at payment", "lost before", title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for line in thefts:
        at = "-" if line["stopped_at"] is None else f"{line['stopped_at']:g}"
        lost = "-" if line["lost"] is None else f"{line['lost']:.1%}"
        table.add_row(line["length"], _n(line["thefts"]), _n(line["stopped"]), at, lost)
    return table


def _attacks(attacks: dict[str, Any]) -> None:
    console.print("[bold]Thefts[/], played before the live traffic, and where the stream stopped them (medians)")
    table = Table("pattern", "thefts", "payments", "stopped", "first at payment", "lost before", "named by its reasons")
    for column in table.columns[1:]:
        column.justify = "right"
    for line in attacks["lines"]:
        at = "-" if line["stopped_at"] is None else f"{line['stopped_at']:g}"
        named = f"{line['named']} of {line['stopped']}"
        table.add_row(
            line["pattern"],
            _n(line["thefts"]),
            _n(line["payments"]),
            _n(line["stopped"]),
            at,
            f"{line['lost']:,.2f}",
            named,
        )
    console.print(table)
    for story in attacks["stories"]:
        at = f"payment {story['stopped_at']} of" if story["stopped_at"] else "not one of"
        console.print(f"  {story['pattern']}: stopped at {at} {story['payments']}: {'; '.join(story['why']) or '-'}")
    console.print()


def _live(live: dict[str, Any]) -> None:
    if live["why"]:
        console.print(f"[bold]Live decisions[/]: {live['why']}\n")
        return
    console.print("[bold]Live decisions[/]: ms from a payment's Kafka timestamp to its decision's")
    table = Table("second", "decided", "alerts", "blocked", "p50 ms", "p99 ms")
    for column in table.columns:
        column.justify = "right"
    for line in (*live["lines"], live["all"]):
        table.add_row(
            line["second"],
            _n(line["decided"]),
            _n(line["alerts"]),
            _n(line["blocked"]),
            f"{line['p50_ms']:.0f}",
            f"{line['p99_ms']:.0f}",
        )
    console.print(table)
    console.print(
        "[dim]Live, each simulated card pays many times as often as its own history says: most of these alerts are "
        "about that.[/]"
    )
    if live["fallback"]:
        console.print(f"{live['fallback']:,} of them came before the stream had a model, and were approved")
    console.print()


def _decision(decision: dict[str, Any], reproduced: dict[str, Any]) -> None:
    answer, payment = decision["answer"], decision["payment"]
    asked = f"{payment['amount']} {payment['currency']} on a card whose payments average {decision['usual_amount']:.2f}"
    console.print(f"[bold]One decision[/] in {decision['milliseconds']:.1f} ms: {asked}")
    console.print(
        f"  {answer['decision']}, score {answer['score']:.3f} (threshold {answer['threshold']:.3f}), "
        f"degraded: {answer['degraded'] or 'no'}"
    )
    for reason in answer["reasons"]:
        console.print(f"  - {reason['text']}")
    again = "identical" if reproduced["identical"] else "[red]not the same[/]"
    console.print(f"  made again from its record in Bronze ({reproduced['decision_id']}): {again}\n")


def _travel(travel: dict[str, Any]) -> None:
    console.print("[bold]Time travel[/], to paste into any Trino client:")
    console.print(f"  {travel['sql']}", soft_wrap=True)
    console.print(f"  {travel['then']:,} rows then, {travel['now']:,} now\n")


def _latency(load: dict[str, Any]) -> None:
    latency = load["latency_ms"]
    console.print(
        f"[bold]/predict[/] at 50 a second: p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms, "
        f"{load['failed']} of {load['requests']:,} failed\n"
    )


def _seconds(seconds: dict[str, float]) -> Table:
    table = Table("step", "seconds", title="Where the time went", title_justify="left")
    table.columns[1].justify = "right"
    for name, spent in seconds.items():
        table.add_row(name, f"{spent:.0f}")
    return table


def _next() -> None:
    known = settings()
    console.print("\n[bold]The stack stays up.[/] Look around:")
    console.print(f"  decisions (OpenAPI)   {known.api_url}/docs")
    console.print(f"  alerts (console)      {known.desk_url}/console (sign in with INVESTIGATOR_KEY of `make env`)")
    place = f"https://{known.trino_host}:{known.trino_port}/ui"
    console.print(f"  queries (Trino)       {place} (TRINO_USER, TRINO_PASSWORD of `make env`)")
    console.print(f"  models (MLflow)       {known.mlflow_tracking_uri}")
    console.print(f"  state and logs        {lakehouse_home()}")
    console.print("Try next:")
    console.print('  make status; eval "$(make -s env)"; python -m ingestion dlq list')
    console.print("  python -m serving rebuild --help   (the cards' windows, made again from topic transactions.raw)")
    console.print("  python -m ml parity")
    days = f"--from {date.today() - timedelta(days=2)} --to {date.today()}"  # noqa: DTZ011 - the user's own days
    console.print(f"  python -m ml backtest --rules docs/examples/rules.yaml {days}", soft_wrap=True)
    console.print("  cd dbt_project && dbt build")
    console.print("  make demo INPUT=yours.parquet MAPPING=yours.yaml   (docs/data-owner.md)")
    console.print("  make down")


def _n(count: int) -> str:
    return f"{count:,}"
