{#- A table with rows has a value somewhere in each of `columns`: a join that silently matches nothing shows here. -#}
{% test not_all_missing(model, columns) %}
select *
from (
    select
        count(*) as rows_there
        {%- for column in columns %},
        count({{ column }}) as {{ column }}
        {%- endfor %}
    from {{ model }}
)
where
    rows_there > 0
    and least(rows_there{% for column in columns %}, {{ column }}{% endfor %}) = 0
{% endtest %}
