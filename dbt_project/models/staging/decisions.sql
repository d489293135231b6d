{{ config(
    materialized='incremental',
    clustered_by='event_day'
) }}
{%- set mark = newest_batch(this if is_incremental() else none) %}

with arrivals as (
    select * from {{ ref('arrived_decisions') }}
    {{ since(mark) }}
),

-- Payments decided more than once are few: only their decisions are ranked.
repeated as (
    select
        payment_partition,
        payment_offset
    from arrivals
    group by payment_partition, payment_offset
    having count(*) > 1
),

ranked as (
    select
        arrivals.source_topic,
        arrivals.source_partition,
        arrivals.source_offset,
        arrivals.ingested_at,
        row_number() over (
            partition by arrivals.payment_partition, arrivals.payment_offset
            order by arrivals.ingested_at, arrivals.source_partition, arrivals.source_offset
        ) as place
    from arrivals
    inner join repeated
        on
            arrivals.payment_partition = repeated.payment_partition
            and arrivals.payment_offset = repeated.payment_offset
)

select
    source,
    transaction_id,
    card_id,
    event_time,
    event_day,
    payment_partition,
    payment_offset,
    decided_at,
    decision,
    decided_by,
    score,
    threshold,
    is_degraded,
    card_status,
    card_days_since_first_seen,
    model_version,
    rules_version,
    source_topic,
    source_partition,
    source_offset,
    kafka_timestamp,
    ingested_at,
    batch_id,
    {{ run_time() }} as loaded_at
from arrivals
where
    not exists (
        select 1 from ranked
        where ranked.place > 1 and {{ same_arrival('ranked', 'arrivals') }}
    )
    {%- if mark %}
    and not exists (
        select 1 from {{ this }} as stored
        where
            stored.event_day = arrivals.event_day
            and stored.payment_partition = arrivals.payment_partition
            and stored.payment_offset = arrivals.payment_offset
    )
    {%- endif %}
