-- Point in time: on the days checked, exactly the cards seen in the 31 days before have a row, and its counts, amounts
-- and acceptors are those of payments strictly before the day.
with checked as (
    {{ checked_days(ref('card_features_daily')) }}
),

wanted as (
    select
        payments.card_id,
        checked.as_of_day,
        count_if(payments.is_attempt and payments.event_day >= checked.as_of_day - {{ days(1) }}) as count_1d,
        count_if(payments.is_attempt and payments.event_day >= checked.as_of_day - {{ days(7) }}) as count_7d,
        count_if(payments.is_attempt and payments.event_day >= checked.as_of_day - {{ days(30) }}) as count_30d,
        max(
            if(
                payments.is_attempt and payments.message_type <> 'verification'
                and payments.event_day >= checked.as_of_day - {{ days(30) }}, payments.amount
            )
        ) as largest,
        count(distinct if(
            payments.is_attempt and payments.event_day >= checked.as_of_day - {{ days(30) }}, payments.acceptor_id
        )) as acceptors
    from checked
    inner join {{ ref('transactions') }} as payments
        on
            checked.as_of_day > payments.event_day
            and checked.as_of_day - {{ days(31) }} <= payments.event_day
    group by payments.card_id, checked.as_of_day
),

found as (
    select *
    from {{ ref('card_features_daily') }}
    where as_of_day in (select checked.as_of_day from checked)
)

select
    coalesce(found.card_id, wanted.card_id) as card_id,
    coalesce(found.as_of_day, wanted.as_of_day) as as_of_day
from found
full join wanted on found.card_id = wanted.card_id and found.as_of_day = wanted.as_of_day
where
    found.card_tx_count_1d is distinct from wanted.count_1d
    or found.card_tx_count_7d is distinct from wanted.count_7d
    or found.card_tx_count_30d is distinct from wanted.count_30d
    or found.card_max_amount_30d is distinct from wanted.largest
    or found.card_distinct_acceptors_30d is distinct from wanted.acceptors
