{{ config(severity='warn') }}
-- A label without a payment waits for it, or its payment was a dead letter: to be looked at, not an error of ours.
select
    events.source,
    events.transaction_id,
    events.known_at
from {{ ref('label_events') }} as events
left join {{ ref('transactions') }} as payments
    on events.source = payments.source and events.transaction_id = payments.transaction_id
where payments.transaction_id is null
