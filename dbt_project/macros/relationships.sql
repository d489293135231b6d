{#- dbt's test `relationships`, asked as a set: its own joins each row with every row of the parent, and ours relate
    profiles to payments, of which an entity has thousands. -#}
{% macro trino__test_relationships(model, column_name, to, field) %}
select {{ column_name }}
from {{ model }}
where
    {{ column_name }} is not null
    and {{ column_name }} not in (select {{ field }} from {{ to }} where {{ field }} is not null)
{% endmacro %}
