{#- A table under contract is checked before it is made, and made in one commit: dbt-trino would make it empty first and
    fill it by a second, so that a reader, or a run that was killed in between, found nothing. A large one is
    made in parts, and known as not finished until it is. -#}
{% macro trino__create_table_as(temporary, relation, sql, on_exists=None) -%}
    {%- if config.get('contract').enforced -%}
        {%- do get_assert_columns_equivalent(sql) -%}
    {%- endif -%}
    {%- if not temporary and config.get('clustered_by') and is_large() -%}
        {{ made_in_parts(relation, sql, config.get('clustered_by')) }}
    {%- else -%}
    create{{ ' or replace' if on_exists == 'replace' }} table{{ ' if not exists' if on_exists == 'skip' }} {{ relation }}
    {{ comment(model.get('description')) }}
    {{ properties(temporary) if not temporary }}
    as (
        {{ sql }}
    )
    {%- endif -%}
{%- endmacro %}
