{{ config(materialized='ephemeral', access='private') }}

select
    source,
    transaction_id,
    card_id,
    event_time,
    {{ utc_day('event_time') }} as event_day,
    payment_partition,
    payment_offset,
    -- Records made before there were ids have their payment's place, which was unique.
    coalesce(
        decision_id, cast(payment_partition as varchar) || ':' || cast(payment_offset as varchar)
    ) as decision_id,
    coalesce(origin, 'stream') as origin,
    request_id,
    observe,
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
    -- Of a payment that was only asked of the API nothing else is in the lake.
    if(origin = 'api', cast(json_extract_scalar(features, '$.amount') as double)) as amount,
    json_extract_scalar(payment_fields, '$.mcc') as mcc,
    json_extract_scalar(payment_fields, '$.merchant_country') as merchant_country,
    if(
        origin = 'api', cast(json_extract_scalar(features, '$.is_card_present') as double) = 1e0
    ) as card_present,
    source_topic,
    source_partition,
    source_offset,
    kafka_timestamp,
    batch_id,
    ingested_at,
    ingested_date
from {{ source('bronze', 'decisions') }} {{ as_of_start(source('bronze', 'decisions')) }}
