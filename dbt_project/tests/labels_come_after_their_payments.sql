{{ config(severity='warn') }}
-- Nobody knows of a fraud before it happens; a source whose labels do has a clock or a mapping that is wrong.
select
    events.source,
    events.transaction_id,
    events.known_at,
    payments.event_time
from {{ ref('label_events') }} as events
inner join {{ ref('transactions') }} as payments
    on events.source = payments.source and events.transaction_id = payments.transaction_id
where events.known_at < payments.event_time
