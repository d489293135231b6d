{#- dbt-trino's merge of a snapshot, left out when nothing changed: Trino 476 makes a Delta version of an empty MERGE. -#}
{% macro snapshot_merge_sql(target, source, insert_cols) -%}
    {%- if run_query('select count(*) from ' ~ source).rows[0][0] == 0 -%}
        {{ return('select 0 as changed') }}
    {%- endif -%}
    {{ return(adapter.dispatch('snapshot_merge_sql', 'dbt')(target, source, insert_cols)) }}
{%- endmacro %}
