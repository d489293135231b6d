"""Conditions, rows and columns, lists and versions of the rules."""

import dataclasses
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import features
from contracts.validation import symbols
from errors import InputError
from scoring.rules import By, ListName, Lists, RuleSet, columns, language
from scoring.rules.lists import Body, Place
from scoring.rules.ruleset import Several
from tests.unit.rule_files import NOW_US, entry, payment, rule, ruleset, values

NUMBERS = ("amount", "tx_count_5min", "card_avg_amount_30d", "geo_velocity_kmh", "amount_minor", "utc_offset_min")
TEXTS = {
    "mcc": ["5967", "5411", "7995"],
    "entry_mode": sorted(symbols("transaction")["entry_mode"]),
    "merchant_country": ["US", "DE", 'é"\\'],
}
CONDITIONS = (
    "amount > 100",
    "amount >= tx_count_5min * 2 - 1",
    "!(amount > 100)",
    "amount != 0",
    "!(amount == 0)",
    "amount / card_avg_amount_30d > 5",
    "!(amount / card_avg_amount_30d > 5)",
    "amount / 0 > 1 || mcc == '5967'",
    "amount_minor / utc_offset_min < 2.5",
    "amount * 1e308 * 1e308 - amount * 1e308 * 1e308 != 1",
    "-amount * 1e308 * 1e308 < 0.5",
    "amount * 1e308 * 1e308 - 1e308 * 1e308 * amount <= 0",
    "mcc in ['5967', '7995'] && entry_mode != 'chip'",
    "mcc != '5411' || geo_velocity_kmh > 900",
    "known(mcc) && !known(geo_velocity_kmh)",
    "known(card_avg_amount_30d) || amount > 50",
    "amount in [0, 1, -1, 100.5]",
    "!(amount + 0 in [0, -0.0])",
    "(amount > 10) == (tx_count_5min > 3)",
    "(mcc == '5411') != (utc_offset_min < 0)",
    "merchant_country == 'é\"\\\\'",
    "mcc == merchant_country || true",
    "amount - tx_count_5min / (amount - card_avg_amount_30d) > 3",
    "-(-amount) > 1.0 && amount_minor > 2.0",
)
BIG = 100_000


def rows(count, seed=0):
    """Return payments and vectors full of what is rare: missing values, NaN, zeros, infinities, equal numbers."""
    random = np.random.default_rng(seed)
    few = np.array([0.0, -0.0, 1.0, -1.0, 2.0, 10.0, 100.0, 100.5, 1e308, -1e308, np.inf, -np.inf, np.nan])
    frame = {}
    for name in NUMBERS:
        if name in features.NAMES:
            drawn = np.where(random.random(count) < 0.6, random.choice(few, count), random.lognormal(2, 2, count))
            frame[name] = drawn.tolist()
        else:
            whole = random.integers(-3, 5, count)
            frame[name] = [None if gone else int(n) for n, gone in zip(whole, random.random(count) < 0.2, strict=True)]
    for name, texts in TEXTS.items():
        drawn = random.choice([*texts, ""], count).tolist()
        frame[name] = [each or None for each in drawn]
    return pl.DataFrame(frame, strict=False)


def by_rows(found: RuleSet, frame: pl.DataFrame) -> dict[str, list[bool]]:
    """Evaluate row by row, as the scorers do."""
    said = {each.rule.name: [] for each in found.compiled}
    blank = [math.nan] * len(features.NAMES)
    places = {name: features.NAMES.index(name) for name in frame.columns if name in features.NAMES}
    for row in frame.iter_rows(named=True):
        vector = list(blank)
        for name, place in places.items():
            vector[place] = row[name]
        names = {each.name for each in found.evaluate(payment(mcc=None) | row, vector, NOW_US).rules}
        for name, column in said.items():
            column.append(name in names)
    return said


def same(found: RuleSet, frame: pl.DataFrame) -> None:
    """Fail unless rows and columns agree on every rule and every row."""
    over = columns.evaluate(found, frame)
    for name, expected in by_rows(found, frame).items():
        wrong = np.flatnonzero(over[name].to_numpy() != np.array(expected))
        assert not wrong.size, f"{name} {frame.row(int(wrong[0]), named=True)}: row {expected[wrong[0]]}"


def test_dividing_by_a_constant_gives_the_same_bits():
    """A third of all quotients differ in their last bit when the constant's inverse is multiplied with instead."""
    draw = np.random.default_rng(0)
    amounts = draw.uniform(0, 1000, 1_000)
    frame = pl.DataFrame({"amount": amounts})
    conditions = [f"amount / {by} == {value / by!r}" for by in (3.0, 7.0, 49.0) for value in amounts[:20].tolist()]
    same(ruleset(*(rule(f"d{place}", text) for place, text in enumerate(conditions))), frame)


def test_columns_hold_for_the_very_rows():
    """Over 100,000 rows with missing values, NaN, infinities and zeros to divide by, columns equal rows exactly."""
    found = ruleset(*(rule(f"r{place}", text) for place, text in enumerate(CONDITIONS)))
    frame = rows(BIG)
    same(found, frame)
    matched = columns.evaluate(found, frame).sum().row(0)
    assert sum(0 < count < BIG for count in matched) > len(CONDITIONS) - 4, "the rows try too little"


def expressions():
    """Return a strategy of conditions of every operator."""
    number = st.recursive(
        st.sampled_from([*NUMBERS, "0", "1", "2.5", "-3", "100", "1e308"]),
        lambda part: (
            st.tuples(part, st.sampled_from("+-*/"), part).map(lambda t: f"({t[0]} {t[1]} {t[2]})")
            | part.map(lambda p: f"(-{p})")
        ),
        max_leaves=4,
    )
    compared = st.tuples(number, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), number).map(" ".join)
    listed = st.tuples(number, st.lists(st.sampled_from(["0", "1.0", "-2"]), min_size=1)).map(
        lambda t: f"{t[0]} in [{', '.join(t[1])}]"
    )
    text = st.sampled_from(["mcc == '5967'", "mcc != '5411'", "entry_mode in ['chip', 'moto']", "known(mcc)", "true"])
    return st.recursive(
        compared | listed | text | st.sampled_from(NUMBERS).map(lambda name: f"known({name})"),
        lambda part: (
            st.tuples(part, st.sampled_from(["&&", "||", "==", "!="]), part).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})")
            | part.map(lambda p: f"!({p})")
        ),
        max_leaves=5,
    )


FEW = rows(60, seed=1)


@given(expressions())
def test_any_condition_is_the_same_over_columns(condition):
    """Whatever condition is written, it holds for the same rows one by one and over columns."""
    same(ruleset(rule(condition=condition)), FEW)


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("amount >", "mismatched input"),
        ("amuont > 1", "amuont is neither"),
        ("amount > '1'", "not text"),
        ("amount", "not true or false"),
        ("entry_mode == 'chp'", "never 'chp'"),
        ("mcc.size() > 1", "cannot be called"),
        ("amount > 1 ? true : false", "not part"),
        ("[1, 2].all(x, x > 1)", "part of"),
        ("known(amount > 1)", "one name"),
        ("amount in []", "list of values"),
        ("amount in [tx_count_5min]", "only values"),
        ("amount > 9007199254740993", "too large"),
        ("amount > 1e400", "a value is"),
        ("amount % 2 == 0", "not part"),
        ("mcc == null", "a value is"),
        ("mcc in ['1', 2]", "not a number"),
        ("card_id > 'a'", "not text"),
        ("(" * 40 + "true" + ")" * 40, "recursion"),
    ],
)
def test_a_bad_condition_is_refused_and_named(condition, says):
    """What is no condition of the language is refused when the file is read, with the rule's name and what is wrong."""
    with pytest.raises(InputError, match="rule a_rule: condition") as refused:
        ruleset(rule(condition=condition))
    assert says in str(refused.value)


def test_a_missing_value_makes_no_rule_match():
    """A comparison with what is missing holds in neither direction, and is no failure; `known` tells."""
    found = ruleset(
        rule("over", "amount > 1"),
        rule("not_over", "!(amount > 1)"),
        rule("asked", "!known(amount)"),
        rule("other", "amount > 1 || tx_count_5min == 5"),
    )
    hits = found.evaluate(payment(), values(amount=math.nan), NOW_US)
    assert ([each.name for each in hits.rules], hits.failed) == (["asked", "other"], ())


def test_a_rule_that_divides_by_zero_does_not_match_and_is_named():
    """It breaks nothing: the other rules are asked, and the failed one is reported."""
    found = ruleset(rule("divides", "100 / amount > 1"), rule("other", "tx_count_5min > 1"))
    hits = found.evaluate(payment(), values(amount=0.0), NOW_US)
    assert ([each.name for each in hits.rules], hits.failed) == (["other"], ("divides",))


@pytest.mark.parametrize("broken", [{"mcc": "\ud800"}, {"mcc": object()}, {"mcc": 5}])
def test_what_the_library_cannot_take_breaks_nothing(broken):
    """A value of a kind that cannot be is a failure of the rule, never an exception."""
    hits = ruleset(rule(condition="mcc == '5967'")).evaluate(payment(**broken), values(), NOW_US)
    assert hits.rules == ()


def test_rules_act_by_priority_then_the_stricter():
    """Hits stand in the order in which they act: priority, at the same the stricter action, then name."""
    found = ruleset(
        rule("last", "true", priority=20, action="block"),
        rule("softer", "true", action="approve"),
        rule("b", "true", action="block"),
        rule("a", "true", action="block"),
        rule("middle", "true", action="step_up"),
    )
    hits = found.evaluate(payment(), values(), NOW_US)
    assert [each.name for each in hits.rules] == ["a", "b", "middle", "softer", "last"]


def test_many_rules_at_once_say_what_each_says():
    """With more rules than are asked together, each one is found, wherever it stands."""
    found = ruleset(*(rule(f"r{n:02}", f"amount == {n}") for n in range(50)))
    for n in (0, 15, 16, 49):
        assert [each.name for each in found.evaluate(payment(), values(amount=n), NOW_US).rules] == [f"r{n:02}"]
    assert found.evaluate(payment(), values(amount=50), NOW_US).rules == ()


@given(st.lists(expressions(), min_size=2, max_size=5))
def test_asked_together_is_asked_one_by_one(conditions):
    """Asking several rules at once first only saves work: without it the hits and failures are the same."""
    found = ruleset(*(rule(f"r{n}", each) for n, each in enumerate(conditions)))
    alone = dataclasses.replace(found, asked_together=tuple(Several((each,), None) for each in found.compiled))
    for row in FEW.iter_rows(named=True):
        vector = values(**{name: row[name] for name in NUMBERS if name in features.NAMES})
        assert found.evaluate(payment() | row, vector, NOW_US) == alone.evaluate(payment() | row, vector, NOW_US)


def test_dates_are_from_and_before_until():
    """A rule is in force from its first moment on and no more at its last; a plain date is its midnight, UTC."""
    found = ruleset(rule(condition="true", **{"from": "2026-01-02", "until": "2026-01-03T12:00:00+02:00"}))
    each = found.compiled[0]
    assert (each.starts_us, each.until_us) == (1767312000e6, 1767434400e6)
    for now, expected in ((each.starts_us - 1, 0), (each.starts_us, 1), (each.until_us - 1, 1), (each.until_us, 0)):
        assert len(found.evaluate(payment(), values(), int(now)).rules) == expected


def test_lists_name_card_account_acceptor_and_device_until_they_expire():
    """A payment is found on a list by each of its four keys, deny first; an expired entry says nothing."""
    key = "cd" * 32
    found = ruleset(
        lists=[
            entry(list="watch", by="acceptor", value="test:M-1"),
            entry(list="allow", by="account", value=key),
            entry(by="device", value=key),
            entry(list="watch"),
            entry(until="2026-01-01"),
        ]
    )
    hits = found.evaluate(payment(account_id=key, device_id=key, merchant_id="M-1"), values(), NOW_US)
    assert [(each.list, each.by) for each in hits.entries] == [
        ("deny", "device"),
        ("allow", "account"),
        ("watch", "card"),
        ("watch", "acceptor"),
    ]
    assert not found.evaluate(payment(card_id="ef" * 32), values(), NOW_US).entries


def test_an_entry_is_replaced_taken_off_and_shared():
    """The newest of an entry stands; one taken off says nothing; those of one import share their text."""
    lists, payments = Lists(), [payment(card_id=f"{n:064x}") for n in range(3)]
    where = [Place(ListName.DENY, By.CARD, each["card_id"]) for each in payments]
    body = Body(NOW_US + 1, "stolen", "one", 0)
    lists.put((*each, body.text()) for each in where)
    lists.put([(*where[0], body._replace(reason="lost").text()), (*where[1], body._replace(until_us=0).text())])
    found = [lists.find(each, NOW_US) for each in payments]
    assert [[entry.reason for entry in each] for each in found] == [["lost"], [], ["stolen"]]
    assert (len(lists), found[2][0].author) == (2, "one")
    assert lists.find(payments[2], NOW_US + 1) == ()


def test_unpriced_is_a_word_for_no_rate():
    """A condition may ask whether there is an exchange rate, over rows and columns alike."""
    rules = ruleset(rule(condition="unpriced && amount_minor > 10 || amount > 100"))
    for amount, expected in ((math.nan, 1), (5.0, 0), (101.0, 1)):
        assert len(rules.evaluate(payment(), values(amount=amount), NOW_US).rules) == expected
        frame = pl.DataFrame({"amount": [amount], "amount_minor": [1250]})
        assert columns.evaluate(rules, frame)["a_rule"].to_list() == [bool(expected)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no `rules:`"),
        ("rules: [", "not YAML"),
        ("rules:\n- name: a\n  name: b", "twice"),
        ("rules: []\nrool: 1", "rool"),
        ("rules: 5", "rules"),
        ("rules: [{name: a, condition: 'true', action: stop}]", "rules 0 (a) action"),
        ("rules: [{name: Bad-Name}]", "name"),
        ("rules: []\nlists: []", "`lists` does not belong there"),
        ("rules: []\ncontrol: {share: 1.5}", "control share"),
    ],
)
def test_a_bad_file_is_refused_whole(text, says):
    """Unknown or repeated keys, missing ones, wrong types, half a file: refused, and the message says where."""
    with pytest.raises(InputError) as refused:
        RuleSet.read(text)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    "changes", [{"value": "4111111111111111"}, {"by": "device", "value": "M-1"}, {"until": None}, {"until": "soon"}]
)
def test_a_bad_entry_is_refused_without_its_value(changes):
    """No raw card number may stand on a list, and none is repeated by the refusal."""
    with pytest.raises(InputError) as refused:
        ruleset(lists=[entry(**changes)])
    assert "4111" not in str(refused.value)


def test_two_of_a_name_and_names_of_reasons_are_refused():
    """A hit is known by its rule's name, so it is the only one, and no other reason's."""
    for rules in ((rule(), rule()), (rule("velocity"),), (rule(**{"from": "2026-02-01", "until": "2026-01-01"}),)):
        with pytest.raises(InputError):
            ruleset(*rules)


def test_the_version_is_the_content():
    """Spelling and order of keys do not change a version; any change of meaning does; restore gives the same."""
    one = ruleset(rule())
    other = RuleSet.read(f"{{rules: [{dict(reversed(rule().items()))}]}}")
    assert one.version == other.version == RuleSet.restore(one.canonical).version
    assert ruleset(rule(), lists=[entry()]).version == one.version
    more = (ruleset(rule(shadow=True)), ruleset(rule(control=False)), ruleset(rule(), control={"share": 0.1}))
    assert len({each.version for each in (one, *more)}) == 4
    with pytest.raises(InputError):
        RuleSet.restore(b"{")


def test_columns_say_what_is_missing():
    """Rows without a column that a rule names are refused, naming it; a rule may be called as a column is."""
    with pytest.raises(InputError, match="tx_count_1hr"):
        columns.evaluate(ruleset(rule(condition="tx_count_1hr > 1")), pl.DataFrame({"amount": [1.0]}))
    found = columns.evaluate(
        ruleset(rule("mcc", "amount > 1"), rule("all", "true"), rule("b", "mcc == '5967'")),
        pl.DataFrame({"amount": [0.5, 2.0, None], "mcc": ["5967", "5967", None]}),
    )
    assert found.to_dict(as_series=False) == {"all": [True] * 3, "b": [True, True, False], "mcc": [False, True, False]}


def test_times_and_other_types_of_columns_are_taken():
    """Times as such or in microseconds, float32, whole numbers and categories give what the row gives."""
    found = ruleset(rule("a", f"event_time == {NOW_US}"), rule("b", "amount == 2 && entry_mode == 'chip'"))
    frame = pl.DataFrame(
        {
            "event_time": pl.Series([NOW_US, NOW_US + 1]).cast(pl.Datetime("us", "UTC")).cast(pl.Datetime("ns", "UTC")),
            "amount": pl.Series([2, 3], dtype=pl.Float32),
            "entry_mode": pl.Series(["chip", "chip"], dtype=pl.Categorical),
        }
    )
    assert columns.evaluate(found, frame).rows() == [(True, True), (False, False)]


def test_every_field_and_feature_can_be_named():
    """All names are known to the language, and no feature hides a field."""
    assert not set(features.NAMES) & set(language.fields())
    found = ruleset(*(rule(f"r{n}", f"known({name})") for n, name in enumerate(sorted(language.names()))))
    hits = found.evaluate(payment(), values(), NOW_US)
    assert len(hits.rules) == len(features.NAMES) + len(payment())
