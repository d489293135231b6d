{{ config(materialized='view') }}

with newest as (
    select max(event_day) - {{ days(30) }} as horizon from {{ ref('card_risk_daily') }}
)

select
    risks.card_id,
    max(risks.event_day) as last_day,
    max_by(risks.payments, risks.event_day) as payments,
    max_by(risks.known_frauds_30d, risks.event_day) as known_frauds_30d,
    max_by(risks.amount_at_risk, risks.event_day) as amount_at_risk
from {{ ref('card_risk_daily') }} as risks
cross join newest
where risks.event_day > newest.horizon
group by risks.card_id
having max_by(risks.known_frauds_30d, risks.event_day) > 0
