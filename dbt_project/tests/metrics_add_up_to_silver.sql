-- The daily metrics lose no payment and invent none.
select
    coalesce(metrics.event_day, silver.event_day) as event_day,
    metrics.payments,
    silver.payments as in_silver
from (
    select
        event_day,
        sum(payments) as payments
    from {{ ref('fraud_metrics_daily') }}
    group by event_day
) as metrics
full join (
    select
        event_day,
        count(*) as payments
    from {{ ref('transactions') }}
    where loaded_at <= (select max(updated_at) from {{ ref('fraud_metrics_daily') }})
    group by event_day
) as silver on metrics.event_day = silver.event_day
where metrics.payments is distinct from silver.payments
