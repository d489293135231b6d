{{ config(
    materialized='incremental',
    properties={'partitioned_by': "array['letter_day']"},
    full_refresh=false
) }}
-- Filled by `python -m lake land` from Kafka; dbt makes the table and never fills it.
select
    cast(null as integer) as letter_partition,
    cast(null as bigint) as letter_offset,
    cast(null as timestamp(3) with time zone) as letter_time,
    cast(null as date) as letter_day,
    cast(null as varchar) as stage,
    cast(null as varchar) as code,
    cast(null as varchar) as reason,
    cast(null as varchar) as source_topic,
    cast(null as integer) as source_partition,
    cast(null as bigint) as source_offset
where false
