{{ config(materialized='incremental', unique_key='card_id') }}
{%- set mark = newest('loaded_at') %}

with fresh as (
    select
        card_id,
        min(event_day) as first_day
    from {{ ref('transactions') }}
    {%- if mark %}
    where loaded_at > timestamp '{{ mark }}'
    {%- endif %}
    group by card_id
)

select
    fresh.card_id,
    fresh.first_day,
    {{ run_time() }} as loaded_at
from fresh
{%- if mark %}
left join {{ this }} as known on fresh.card_id = known.card_id
where known.first_day is null or fresh.first_day < known.first_day
{%- endif %}
