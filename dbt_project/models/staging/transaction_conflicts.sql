{{ config(materialized='incremental') }}
with
{{ later_arrivals() }}

select
    source,
    transaction_id,
    event_time,
    event_day,
    utc_offset_min,
    message_type,
    card_id,
    account_id,
    amount_minor,
    currency,
    billing_amount_minor,
    billing_currency,
    merchant_id,
    terminal_id,
    mcc,
    merchant_country,
    card_country,
    latitude,
    longitude,
    entry_mode,
    authentication,
    device_id,
    extra,
    row_hash,
    first_hash,
    source_topic,
    source_partition,
    source_offset,
    kafka_timestamp,
    schema_id,
    ingested_at,
    batch_id,
    {{ run_time() }} as loaded_at
from later_arrivals
where row_hash <> first_hash
