"""What each reason says: one sentence about the values that are known, with the card's own numbers."""

from collections.abc import Callable
from typing import NamedTuple

FASTEST_KMH = 2_000
"""The feature's cap."""
SPANS = {"5min": "5 minutes", "1hr": "hour", "24hr": "24 hours"}
UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))
Values = dict[str, float]
"""The known features by name; never empty for a sentence that is asked for."""


class Terms(NamedTuple):
    """What the numbers are in: the currency of the amounts, and whose hour it is (`local time` or `UTC`)."""

    currency: str
    clock: str


def _amount(known: Values, terms: Terms) -> str:
    paid, usual, largest = (known.get(n) for n in ("amount", "card_avg_amount_30d", "card_max_amount_30d"))
    currency = terms.currency
    if paid is None:
        return f"this card usually pays {_money(usual or largest or 0.0, currency)}"
    if not usual or largest is None:
        return f"the amount is {_money(paid, currency)}"
    text = f"{_money(paid, currency)} is {_times(paid / usual)} this card's 30-day average of {_money(usual, currency)}"
    return f"{text}, and above its largest, {_money(largest, currency)}" if paid > largest else text


def _time(known: Values, terms: Terms) -> str:
    hour = f"{known['hour_local']:02.0f}:00" if "hour_local" in known else "this hour"
    text = f"paid about {hour} {terms.clock}" + (" on a weekend" if known.get("is_weekend") else "")
    share = known.get("card_night_share_30d")
    if known.get("is_night") and share is not None:
        text += f", when this card makes {share:.0%} of its payments"
    return text


def _place(known: Values, _terms: Terms) -> str:
    abroad, speed = known.get("is_cross_border"), known.get("geo_velocity_kmh")
    said = []
    if speed:
        more = " or more" if speed >= FASTEST_KMH else ""
        said.append(f"{speed:,.0f} km/h{more} since the card's last payment in person")
    if abroad is not None:
        said.append("the merchant is abroad for this card" if abroad else "the merchant is in the card's country")
    return "; ".join(said) or "near the card's last payment in person"


def _entry(known: Values, _terms: Terms) -> str:
    present, strong = known.get("is_card_present"), known.get("is_strongly_authenticated")
    said = [] if present is None else ["the card was present" if present else "the card was not present"]
    if strong is not None:
        said.append("the holder was strongly authenticated" if strong else "the holder was not strongly authenticated")
    return " and ".join(said)


def _merchant(known: Values, _terms: Terms) -> str:
    risk, payments, ratio = (known.get(f"merchant_{n}") for n in ("risk_30d", "tx_count_30d", "volume_ratio"))
    if payments == 0.0:
        return "the merchant had no payments in the 30 days that are judged"
    said = []
    if risk is not None:
        said.append(f"about {risk:.1%} of this merchant's payments in 30 days were fraud")
    if ratio is not None and ratio >= 1.5:
        said.append(f"yesterday it had {_times(ratio)} its usual number of payments")
    return "; ".join(said) or "this merchant's recent payments"


def _category(known: Values, _terms: Terms) -> str:
    text = "the merchant's category is one that card schemes call high risk" if known.get("is_high_risk_mcc") else ""
    risk = known.get("mcc_risk_30d")
    rate = f"about {risk:.1%} of payments in the merchant's category were fraud in 30 days" if risk is not None else ""
    times = known.get("high_risk_merchant_count_1hr")
    recent = f"{_payments(times)} in high-risk categories in the hour before" if times else ""
    return "; ".join(part for part in (text, rate, recent) if part) or "the merchant's category"


def _activity(known: Values, _terms: Terms) -> str:
    day, month = known.get("card_tx_count_1d"), known.get("card_tx_count_30d")
    if month == 0.0:
        return "the card made no payment in the last 30 days"
    counted = ((day, "the last day"), (month, "30 days"))
    said = [f"{_payments(n)} in {span}" for n, span in counted if n is not None]
    text = f"the card made {' and '.join(said)}" if said else "how often this card pays"
    acceptors = known.get("card_distinct_acceptors_30d")
    return f"{text}, at {acceptors:.0f} merchant{'' if acceptors == 1 else 's'}" if acceptors else text


def _age(known: Values, _terms: Terms) -> str:
    days = known.get("card_days_since_first_seen", 0.0)
    return f"the card was first seen {days:.0f} {'day' if days == 1 else 'days'} ago"


def _velocity(known: Values, _terms: Terms) -> str:
    since, month, days = (known.get(n) for n in ("time_since_last_tx_s", "card_tx_count_30d", "card_active_days_30d"))
    counts = {span: known.get(f"tx_count_{name}", 0.0) for name, span in SPANS.items()}
    spans = [span for span, count in counts.items() if count]
    if not spans:
        last = "none in 30 days" if since is None else f"the last one {_ago(since)} ago"
        return f"no payment of this card in the 24 hours before this one, {last}"
    text = f"{_payments(counts[spans[0]])} in the {spans[0]} before this one"
    if counts[spans[-1]] > counts[spans[0]]:
        text += f", {counts[spans[-1]]:,.0f} in {spans[-1]}"
    return f"{text}; this card's usual day has {_number(month / days)}" if month and days else text


def _spending(known: Values, terms: Terms) -> str:
    day, most, usual = (known.get(n) for n in ("amount_sum_24hr", "max_amount_1hr", "card_avg_amount_30d"))
    said = []
    if day is not None:
        said.append(f"{_money(day, terms.currency)} paid in the 24 hours before this payment")
    if most is not None:
        said.append(f"up to {_money(most, terms.currency)} at once in the last hour")
    if said and usual:
        said.append(f"this card's 30-day average is {_money(usual, terms.currency)}")
    return "; ".join(said) or "what this card paid in the hour before"


def _payments(count: float) -> str:
    return f"{count:,.0f} payment{'' if count == 1 else 's'}"


def _number(value: float) -> str:
    return f"{value:,.1f}".removesuffix(".0")


def _ago(seconds: float) -> str:
    unit, size = next((pair for pair in UNITS if seconds >= pair[1]), ("second", 1))
    count = round(seconds / size)
    return f"{count:,} {unit}{'' if count == 1 else 's'}"


def _money(value: float, currency: str) -> str:
    return f"{value:,.2f} {currency}".rstrip()


def _times(ratio: float) -> str:
    if ratio < 0.1:
        return f"{ratio:.1%} of"
    return f"{ratio:,.0f} times" if ratio >= 10 else f"{ratio:.1f} times"


SENTENCES: dict[str, Callable[[Values, Terms], str]] = {
    "amount": _amount,
    "time_of_day": _time,
    "place": _place,
    "entry": _entry,
    "merchant": _merchant,
    "merchant_category": _category,
    "velocity": _velocity,
    "spending": _spending,
    "card_activity": _activity,
    "card_age": _age,
}
