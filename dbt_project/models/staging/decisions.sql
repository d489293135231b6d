{{ config(
    materialized='incremental',
    clustered_by='event_day'
) }}
{%- set mark = newest_batch(this if is_incremental() else none) %}

with arrivals as (
    select * from {{ ref('arrived_decisions') }}
    {{ since(mark) }}
),

-- Decisions that were recorded more than once are few: only they are ranked.
repeated as (
    select decision_id
    from arrivals
    group by decision_id
    having count(*) > 1
),

ranked as (
    select
        arrivals.source_topic,
        arrivals.source_partition,
        arrivals.source_offset,
        arrivals.ingested_at,
        row_number() over (
            partition by arrivals.decision_id
            order by arrivals.ingested_at, arrivals.source_partition, arrivals.source_offset
        ) as place
    from arrivals
    inner join repeated
        on arrivals.decision_id = repeated.decision_id
)

select
    source,
    transaction_id,
    card_id,
    event_time,
    event_day,
    decision_id,
    origin,
    request_id,
    observe,
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
    amount,
    mcc,
    merchant_country,
    card_present,
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
            and stored.decision_id = arrivals.decision_id
    )
    {%- endif %}
