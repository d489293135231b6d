{{ config(materialized='incremental') }}
{%- set mark = newest_batch(this if is_incremental() else none) %}

with ranked as (
    select
        *,
        row_number() over (
            partition by label_event_id order by ingested_at, source_partition, source_offset
        ) as place
    from {{ ref('arrived_labels') }}
    {{ since(mark) }}
)

select
    label_event_id,
    source,
    transaction_id,
    verdict,
    known_at,
    known_day,
    origin,
    decided_by,
    note,
    source_topic,
    source_partition,
    source_offset,
    kafka_timestamp,
    ingested_at,
    batch_id,
    {{ run_time() }} as loaded_at
from ranked
where
    place = 1
    {%- if is_incremental() %}
    and not exists (
        select 1 from {{ this }} as stored
        where stored.label_event_id = ranked.label_event_id
    )
    {%- endif %}
