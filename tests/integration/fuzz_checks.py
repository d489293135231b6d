"""What the fuzzing of the OpenAPI description asks besides schemathesis' own checks; loaded by SCHEMATHESIS_HOOKS."""

import schemathesis

NOT_IN_SCHEMA = {"future_time", "absurd_amount", "out_of_range"}
"""What no schema can say: which time is ahead, and how many decimals and units a currency has."""


@schemathesis.check
def what_the_schema_allows_is_decided(ctx, response, case):
    """Refuse a 422 to a valid payment, unless its code is one that no schema could forestall."""
    mode = case.meta.generation.mode if case.meta else None
    if mode is not None and mode.is_positive and response.status_code == 422:
        assert response.json()["code"] in NOT_IN_SCHEMA, response.json()["detail"]
