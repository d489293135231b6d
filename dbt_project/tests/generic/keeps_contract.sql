{#- The table is as fresh and as large as its `contract` says (dbt_project.yml); `day` is the column that it has days by.
    A row for each breach, with the contract's name. -#}
{% test keeps_contract(model, contract, day) %}
{%- set promised = var('contracts')[contract] -%}
{{ config(severity=promised.breach) }}
with days as (
    select
        {{ day }} as day,
        count(*) as found
    from {{ model }}
    where {{ day }} > (select max({{ day }}) from {{ model }}) - interval '7' day
    group by {{ day }}
)

select
    '{{ contract }}' as contract,
    'rows a day' as promise,
    day,
    found
from days
where
    found > {{ promised.rows_a_day[1] }}
    or (found < {{ promised.rows_a_day[0] }} and day < (select max(newest.day) from days as newest))
{%- if promised.days_behind is defined %}
union all
select
    '{{ contract }}' as contract,
    'days behind' as promise,
    newest.day,
    date_diff('day', newest.day, platform.day) as found
from (select max(day) as day from days) as newest
cross join (select max(event_day) as day from {{ ref('transactions') }}) as platform
where date_diff('day', newest.day, platform.day) > {{ promised.days_behind }}
{%- endif %}
{% endtest %}
