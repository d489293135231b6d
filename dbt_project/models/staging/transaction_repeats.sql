{{ config(materialized='incremental') }}
-- Read before it is written to: see the macro known_payments.
with
{{ later_arrivals() }}

select
    source,
    transaction_id,
    card_id,
    event_time,
    source_topic,
    source_partition,
    source_offset,
    kafka_timestamp,
    ingested_at,
    batch_id,
    {{ run_time() }} as loaded_at
from later_arrivals
where row_hash = first_hash
