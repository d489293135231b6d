-- The outcomes lose no decided payment and invent none, and their money is that of Silver to the cent.
select
    coalesce(outcomes.event_day, silver.event_day) as event_day,
    outcomes.payments,
    silver.payments as in_silver,
    outcomes.amount,
    silver.amount as silver_amount
from (
    select
        event_day,
        sum(payments) as payments,
        sum(amount) as amount,
        sum(approved_amount) as approved_amount
    from {{ ref('decision_outcomes_daily') }}
    group by event_day
) as outcomes
full join (
    select
        payments.event_day,
        count(*) as payments,
        coalesce(sum({{ ten_thousandths('payments.amount') }}), 0) / 1e4 as amount,
        coalesce(
            sum({{ ten_thousandths('payments.amount') }}) filter (where payments.decision = 'approve'), 0
        ) / 1e4 as approved_amount
    from {{ decided_payments() }} as payments
    where payments.loaded_at <= (select max(updated_at) from {{ ref('decision_outcomes_daily') }})
    group by payments.event_day
) as silver on outcomes.event_day = silver.event_day
where
    outcomes.payments is distinct from silver.payments
    or abs(outcomes.amount - silver.amount) >= 0.005
    or abs(outcomes.approved_amount - silver.approved_amount) >= 0.005
