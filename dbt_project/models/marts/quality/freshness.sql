{{ config(materialized='view') }}

with newest as (
    select
        'silver.transactions' as table_name,
        'payments' as what,
        max(ingested_at) as newest_at
    from {{ ref('transactions') }}
    union all
    select
        'silver.label_events' as table_name,
        'labels' as what,
        max(ingested_at) as newest_at
    from {{ ref('label_events') }}
    union all
    select
        'silver.decisions' as table_name,
        'decisions' as what,
        max(ingested_at) as newest_at
    from {{ ref('decisions') }}
    union all
    select
        'silver.dead_letters' as table_name,
        'dead letters' as what,
        max(letter_time) as newest_at
    from {{ ref('dead_letters') }}
    union all
    select
        'gold.decision_outcomes_daily' as table_name,
        'outcomes' as what,
        max(updated_at) as newest_at
    from {{ ref('decision_outcomes_daily') }}
    union all
    select
        'gold.card_features_daily' as table_name,
        'card profiles' as what,
        max(updated_at) as newest_at
    from {{ ref('card_features_daily') }}
    union all
    select
        'gold.merchant_risk_daily' as table_name,
        'merchant risks' as what,
        max(updated_at) as newest_at
    from {{ ref('merchant_risk_daily') }}
)

select
    table_name,
    what,
    newest_at,
    {{ as_double("date_diff('second', newest_at, current_timestamp)") }} / 60 as minutes_ago
from newest
