-- Label delay: on the days checked, risk counts only payments older than the delay, and of them as fraud only those
-- whose latest verdict known before the day says so.
{%- set delay = var('label_delay_days') %}
with checked as (
    {{ checked_days(ref('merchant_risk_daily')) }}
),

wanted as (
    select
        payments.acceptor_id,
        checked.as_of_day,
        count(*) as payments,
        count_if(
            (
                select max_by(
                    events.verdict,
                    row(
                        events.known_at,
                        case events.origin when 'analyst' then 2 when 'file' then 0 else 1 end,
                        events.ingested_at, events.source_partition, events.source_offset
                    )
                )
                from {{ ref('label_events') }} as events
                where
                    events.source = payments.source
                    and events.transaction_id = payments.transaction_id
                    and events.known_at < with_timezone(cast(checked.as_of_day as timestamp(3)), 'UTC')
            ) = 'fraud'
        ) as frauds
    from checked
    inner join {{ ref('transactions') }} as payments
        on
            payments.event_day < checked.as_of_day - {{ days(delay) }}
            and payments.event_day >= checked.as_of_day - {{ days(delay + 30) }}
    where payments.is_attempt and payments.acceptor_id is not null
    group by payments.acceptor_id, checked.as_of_day
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
