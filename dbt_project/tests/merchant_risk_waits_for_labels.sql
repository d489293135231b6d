-- Label delay: on the days checked, risk counts only payments older than the delay, and of them as fraud only those
-- whose latest verdict known before the day says so.
{%- set delay = var('label_delay_days') %}
with checked as (
    {{ checked_days(ref('merchant_risk_daily')) }}
),

paid as (
    select
        checked.as_of_day,
        payments.source,
        payments.transaction_id,
        payments.acceptor_id
    from checked
    inner join {{ ref('transactions') }} as payments
        on
            payments.event_day < checked.as_of_day - {{ days(delay) }}
            and payments.event_day >= checked.as_of_day - {{ days(delay + 30) }}
    where payments.is_attempt and payments.acceptor_id is not null
),

known as (
    select
        paid.as_of_day,
        paid.source,
        paid.transaction_id,
        max_by(
            events.verdict,
            row(
                events.known_at,
                case events.origin when 'analyst' then 2 when 'file' then 0 else 1 end,
                events.ingested_at, events.source_partition, events.source_offset
            )
        ) as verdict
    from paid
    inner join {{ ref('label_events') }} as events
        on paid.source = events.source and paid.transaction_id = events.transaction_id
    where events.known_at < with_timezone(cast(paid.as_of_day as timestamp(3)), 'UTC')
    group by paid.as_of_day, paid.source, paid.transaction_id
),

wanted as (
    select
        paid.acceptor_id,
        paid.as_of_day,
        count(*) as payments,
        count_if(known.verdict = 'fraud') as frauds
    from paid
    left join known
        on
            paid.as_of_day = known.as_of_day
            and paid.source = known.source
            and paid.transaction_id = known.transaction_id
    group by paid.acceptor_id, paid.as_of_day
)

select
    found.acceptor_id,
    found.as_of_day
from {{ ref('merchant_risk_daily') }} as found
left join wanted on found.acceptor_id = wanted.acceptor_id and found.as_of_day = wanted.as_of_day
where
    found.as_of_day in (select checked.as_of_day from checked)
    and (
        found.merchant_tx_count_30d <> coalesce(wanted.payments, 0)
        or abs(
            found.merchant_risk_30d - {{ smoothed('coalesce(wanted.frauds, 0)', 'coalesce(wanted.payments, 0)') }}
        ) > 1e-12
    )
