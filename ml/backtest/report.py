"""What was tried, as a table for people."""

from rich.console import Console
from rich.table import Table

from ml.backtest.episodes import BLOCKED, FRAUD, GENUINE, OPEN, Money
from ml.backtest.trial import TOTAL, Line, Outcome


def show(found: Outcome, console: Console) -> None:
    """Print what it was tried on, a line for each rule, and what the figures cannot know."""
    request = found.request
    console.print(
        f"\n{found.payments:,} payments of {request.first} to {request.last}: {found.logged_share:.1%} by the features "
        "that were logged\nwhen they were decided, the others worked out again from the lake; "
        f"{found.frauds:,} known frauds of {found.fraud_money:,.0f} {found.currency};\n"
        f"of {found.unknown:,} payments (too young, or blocked then) nobody knows yet"
    )
    if found.scored_by:
        console.print(f"scored by {found.scored_by}")
    alerts = _grid(
        "What would have been stopped, each episode of a card counted once",
        (
            "action",
            "alerts/day",
            "fraud",
            "genuine",
            "unknown",
            "precision",
            "false/fraud",
            "hurt",
        ),
    )
    money = _grid(
        f"Fraud stopped, {found.currency}: directly, up to that and the rest of the episode",
        (
            "stopped",
            "new fraud",
            "stopped, new",
        ),
    )
    for each in found.lines:
        style = "bold" if each.name == TOTAL else ""
        alerts.add_row(*_alerts(each), style=style)
        effect = each.effect
        money.add_row(
            each.name, _range(effect.money), f"{effect.new_episodes[FRAUD]:,}", _range(effect.new_money), style=style
        )
    console.print(alerts)
    console.print(money)
    console.print(
        "hurt: cards with a payment stopped that is genuine, confirmed or presumed\n"
        "new: of episodes in which the decisions in force stopped nothing"
    )
    for each in found.lines:
        _unknown(each, console)


def _grid(title: str, columns: tuple[str, ...]) -> Table:
    grid = Table(title=title, title_justify="left")
    grid.add_column("", no_wrap=True)
    for name in columns:
        grid.add_column(name, justify="right")
    return grid


def _alerts(line: Line) -> list[str]:
    effect = line.effect
    return [
        line.name,
        f"{line.action}{' (shadow)' if line.shadow else ''}",
        f"{effect.a_day:,.1f}",
        *(f"{effect.episodes[name]:,}" for name in (FRAUD, GENUINE, "unknown")),
        "-" if effect.precision is None else f"{effect.precision:.1%}",
        "-" if effect.false_per_fraud is None else f"{effect.false_per_fraud:.2f}",
        f"{effect.hurt:,}",
    ]


def _unknown(line: Line, console: Console) -> None:
    """Say how many of a line's payments nobody knows of, and what the control share tells of those blocked."""
    paid = line.effect.payments
    if not (paid[OPEN] or paid[BLOCKED]):
        return
    text = f"{line.name}: {paid[OPEN]:,} payments are too young to know, {paid[BLOCKED]:,} were blocked then"
    if line.effect.blocked_frauds is not None:
        control = line.effect.control
        text += (
            f"; by the {control[FRAUD] + control[GENUINE]:,} of the control share about "
            f"{line.effect.blocked_frauds:,.0f} of these were fraud"
        )
    console.print(text)


def _range(money: Money) -> str:
    low, high = f"{money.directly:,.0f}", f"{money.at_most:,.0f}"
    return low if low == high else f"{low} to {high}"
