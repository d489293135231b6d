{{ config(materialized='view') }}

with newest as (
    select max(event_day) as platform_day from {{ ref('decision_outcomes_daily') }}
)

select
    outcomes.source,
    outcomes.event_day,
    date_diff('day', outcomes.event_day, newest.platform_day) as days_ago,
    outcomes.country,
    outcomes.channel,
    outcomes.mcc_group,
    outcomes.is_mature,
    outcomes.payments,
    outcomes.alerts,
    outcomes.open_alerts,
    outcomes.frauds,
    outcomes.frauds_alerted,
    outcomes.false_positives,
    outcomes.amount,
    outcomes.amount - outcomes.approved_amount as stopped_amount,
    outcomes.loss,
    outcomes.false_positive_amount
from {{ ref('decision_outcomes_daily') }} as outcomes
cross join newest
