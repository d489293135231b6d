-- Each day's attempts amount to the same in Silver, in the daily metrics and over the cards, to the cent.
with silver as (
    select
        event_day,
        coalesce(sum({{ ten_thousandths('amount') }}) filter (where is_attempt), 0) / 1e4 as amount
    from {{ ref('transactions') }}
    where loaded_at <= (select max(known.updated_at) from {{ ref('fraud_metrics_daily') }} as known)
    group by event_day
),

metrics as (
    select
        event_day,
        sum(amount) as amount
    from {{ ref('fraud_metrics_daily') }}
    group by event_day
),

cards as (
    select
        event_day,
        sum(amount) as amount
    from {{ ref('card_risk_daily') }}
    group by event_day
)

select
    silver.event_day,
    silver.amount,
    metrics.amount as in_metrics,
    cards.amount as over_cards
from silver
left join metrics on silver.event_day = metrics.event_day
left join cards on silver.event_day = cards.event_day
where
    abs(silver.amount - coalesce(metrics.amount, -1)) >= 0.005
    or abs(silver.amount - coalesce(cards.amount, -1)) >= 0.005
