{#- The days on which the tests work profiles out again in the plainest way: the newest, and one of each week before. -#}
{% macro checked_days(mart) -%}
    select distinct as_of_day
    from {{ mart }}
    cross join (select max(as_of_day) as newest from {{ mart }})
    where date_diff('day', as_of_day, newest) % 7 = 0
{%- endmacro %}
