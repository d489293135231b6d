{#- The states of each `key` in a snapshot do not overlap, and each ends after it began. -#}
{% test states_follow_each_other(model, key) %}
select *
from (
    select
        {{ key }},
        dbt_valid_from,
        dbt_valid_to,
        lead(dbt_valid_from) over (partition by {{ key }} order by dbt_valid_from) as next_from
    from {{ model }}
)
where
    dbt_valid_to <= dbt_valid_from
    or (next_from is not null and dbt_valid_to is null)
    or dbt_valid_to > next_from
{% endtest %}
