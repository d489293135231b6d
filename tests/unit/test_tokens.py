"""Card numbers become card_ids: the same as everywhere else, checked, and never repeated."""

import pytest

from contracts.identity import hash_key, keyed_hash
from serving.api.tokens import REFUSED, token

KEY = hash_key("5a" * 32)


@pytest.mark.parametrize(
    "number", ["4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "378282246310005"]
)
def test_a_card_number_becomes_the_hash_that_payments_carry(number: str) -> None:
    """However it is spelt, it is the card_id that /predict makes of it."""
    assert token(KEY, number) == {"card_id": keyed_hash(KEY, number)}


@pytest.mark.parametrize(
    "number",
    ["4111111111111112", "4111", "4" * 20, "4111  1111 1111 1111", "", " 4111111111111111", None, 4111111111111111, {}],
)
def test_what_is_no_card_number_is_refused_without_repeating_it(number: object) -> None:
    """A wrong check digit, length or type: a code and a reason that hold nothing of what was sent."""
    assert token(KEY, number) == REFUSED
    assert "4111" not in str(REFUSED)
