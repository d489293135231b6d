{{ config(materialized='incremental', incremental_strategy='changed') }}
{%- set mark = newest('ingested_at') %}

with arrivals as (
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
        ingested_at,
        ingested_date
    from {{ source('bronze', 'labels') }}
),

ranked as (
    select
        *,
        row_number() over (
            partition by label_event_id order by ingested_at, source_partition, source_offset
        ) as place
    from arrivals
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
