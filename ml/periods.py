"""Which days train, which wait for their labels, which validate and which test."""

from dataclasses import dataclass
from datetime import date, timedelta

from epoch import to_day
from errors import InputError
from features import DAY_US

WARM_UP = 30
"""Days before the first training day, so that 30-day profiles are whole."""
QUIET_DAYS = 7
SHORTEST = 14
VALIDATION_SHARE = 0.2
TEST_SHARE = 0.25
LONGEST_TEST = 60


@dataclass(frozen=True)
class Split:
    """Days, first and last included, and the days between training and test in which labels are still to come."""

    train_from: date
    train_to: date
    delay_days: int
    test_from: date
    test_to: date

    def __post_init__(self) -> None:
        """InputError if the days are out of order or the test begins before training's labels are known."""
        if not self.train_from <= self.train_to < self.test_from <= self.test_to:
            raise InputError(
                f"the days are out of order: train {self.train_from} to {self.train_to}, test {self.test_from} to "
                f"{self.test_to}; training comes first, and each period ends after it begins"
            )
        earliest = self.train_to + timedelta(days=self.delay_days + 1)
        if self.test_from < earliest:
            raise InputError(
                f"a test from {self.test_from} is too early: fraud of {self.train_to} is known {self.delay_days} days "
                f"later, so test from {earliest} or train less long"
            )

    @property
    def train_us(self) -> tuple[int, int]:
        """Return the training period, end exclusive, in microseconds UTC."""
        return midnight_us(self.train_from), midnight_us(self.train_to + timedelta(days=1))

    @property
    def test_us(self) -> tuple[int, int]:
        """Return the test period, end exclusive, in microseconds UTC."""
        return midnight_us(self.test_from), midnight_us(self.test_to + timedelta(days=1))

    def inner(self) -> "Split":
        """Return the split inside the training period: its last fifth validates, after the same gap."""
        days = (self.train_to - self.train_from).days + 1
        validation = max(3, round(days * VALIDATION_SHARE))
        first = self.train_to - timedelta(days=validation - 1)
        last_fit = first - timedelta(days=self.delay_days + 1)
        if last_fit < self.train_from:
            needed = 2 * self.delay_days + 5
            raise InputError(
                f"{days} days of training are too few: {validation} validate and {self.delay_days} wait for their "
                f"labels; train on at least {needed} days"
            )
        return Split(self.train_from, last_fit, self.delay_days, first, self.train_to)


def busiest(payments: dict[date, int]) -> tuple[date, date]:
    """Return first and last day of the stretch with most payments; QUIET_DAYS without any part two stretches.

    A lake may hold a file of two years ago and the live traffic of today: they are not one period.
    """
    stretches: list[list[date]] = []
    for day in sorted(payments):
        if not stretches or (day - stretches[-1][-1]).days > QUIET_DAYS:
            stretches.append([])
        stretches[-1].append(day)
    if not stretches:
        raise InputError("the lake holds no payments: `python -m ingestion simulate` or `replay` brings some")
    best = max(stretches, key=lambda days: sum(payments[day] for day in days))
    return best[0], best[-1]


def default(first: date, last: date, delay_days: int) -> Split:
    """Return the split for a lake of payments from `first` to `last`: the last quarter tests, all labels have come.

    InputError if the lake is too small, with what to do.
    """
    test_to = last - timedelta(days=delay_days)
    days = (test_to - first).days + 1
    needed = SHORTEST + 3 * delay_days
    # The fewest days of which `needed` are left after the warm-up, and the last ones, whose labels are to come.
    enough = min((needed - 1) * 4 // 3 + 1, needed + WARM_UP) + delay_days
    if days + delay_days < enough:
        raise InputError(
            f"the lake holds payments from {first} to {last}, too few days to train, wait {delay_days} days for labels "
            f"and test: fill it with at least {enough} days (`python -m ingestion simulate` or `replay`), wait for the "
            "refresh, or give the four periods yourself"
        )
    warm_up = min(WARM_UP, days // 4)
    test_days = min(LONGEST_TEST, round((days - warm_up - delay_days) * TEST_SHARE))
    test_from = test_to - timedelta(days=test_days - 1)
    train_to = test_from - timedelta(days=delay_days + 1)
    return Split(first + timedelta(days=warm_up), train_to, delay_days, test_from, test_to)


def midnight_us(day: date) -> int:
    """Return the day's first moment, microseconds since 1970 UTC."""
    return to_day(day) * DAY_US
