-- What is known to be fraud or genuine are attempts, attempts are payments, and fraud is part of the amount.
select *
from {{ ref('fraud_metrics_daily') }}
where
    attempts > payments
    or frauds + genuine_confirmed > attempts
    or cards > payments
    or fraud_cards > least(cards, frauds)
    or fraud_amount > amount
