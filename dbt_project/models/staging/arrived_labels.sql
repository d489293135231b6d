{{ config(materialized='ephemeral', access='private') }}

select
    {{ row_hash(['source', 'transaction_id', 'verdict', 'known_at', 'origin', '"by"', 'note']) }} as label_event_id,
    source,
    transaction_id,
    verdict,
    known_at,
    {{ utc_day('known_at') }} as known_day,
    origin,
    "by" as decided_by,
    note,
    source_topic,
    source_partition,
    source_offset,
    kafka_timestamp,
    batch_id,
    ingested_at,
    ingested_date
from {{ source('bronze', 'labels') }} {{ as_of_start(source('bronze', 'labels')) }}
