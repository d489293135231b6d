{{ config(materialized='ephemeral', access='private') }}

select
    source,
    transaction_id,
    card_id,
    event_time,
    {{ utc_day('event_time') }} as event_day,
    payment_partition,
    payment_offset,
    decided_at,
    decision,
    decided_by,
    score,
    threshold,
    degraded is not null as is_degraded,
    json_extract_scalar(groups, '$.card.status') as card_status,
    cast(json_extract_scalar(features, '$.card_days_since_first_seen') as double) as card_days_since_first_seen,
    model_version,
    rules_version,
    source_topic,
    source_partition,
    source_offset,
    kafka_timestamp,
    batch_id,
    ingested_at,
    ingested_date
from {{ source('bronze', 'decisions') }} {{ as_of_start(source('bronze', 'decisions')) }}
