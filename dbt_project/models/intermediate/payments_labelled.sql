{{ config(materialized='view') }}

with platform as (
    select max(event_time) as clock from {{ ref('transactions') }}
)

select
    payments.*,
    labels.verdict,
    labels.known_at,
    labels.origin as label_origin,
    case
        when labels.verdict = 'fraud' then 'fraud'
        when labels.verdict = 'genuine' then 'genuine_confirmed'
        when payments.event_time < platform.clock - {{ days(var('maturity_days')) }} then 'presumed_genuine'
        else 'open'
    end as label_status
from {{ ref('transactions') }} as payments
cross join platform
left join {{ ref('labels') }} as labels
    on payments.source = labels.source and payments.transaction_id = labels.transaction_id
