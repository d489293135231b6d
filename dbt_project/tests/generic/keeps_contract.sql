{#- The table is as fresh and as large as its `contract` says (dbt_project.yml); `day` is the column that it has days by.
    A row for each breach, with the contract's name. -#}
{% test keeps_contract(model, contract, day) %}
{%- set promised = var('contracts')[contract] -%}
{{ config(severity=promised.breach) }}
with days as (
    select
        {{ day }} as day,
        count(*) as found,
        max({{ day }}) over () as newest
    from {{ model }}
    group by {{ day }}
)

select
    '{{ contract }}' as contract,
    'rows a day' as promise,
    day,
    found
from days
where
    day > newest - interval '7' day
    and (found > {{ promised.rows_a_day[1] }} or (found < {{ promised.rows_a_day[0] }} and day < newest))
{%- if promised.days_behind is defined %}
union all
select
    '{{ contract }}' as contract,
    'days behind' as promise,
    found.day,
    date_diff('day', found.day, platform.day) as found
from (select max({{ day }}) as day from {{ model }}) as found
cross join (select max(event_day) as day from {{ ref('transactions') }}) as platform
where date_diff('day', found.day, platform.day) > {{ promised.days_behind }}
{%- endif %}
{% endtest %}
