{#- dbt-trino's merge of a snapshot, left out when nothing changed: Trino 476 makes a Delta version of an empty MERGE. -#}
{% macro snapshot_merge_sql(target, source, insert_cols) -%}
    {%- if run_query('select count(*) from ' ~ source).rows[0][0] == 0 -%}
        {{ return('select 0 as changed') }}
    {%- endif -%}
    {{ return(adapter.dispatch('snapshot_merge_sql', 'dbt')(target, source, insert_cols)) }}
{%- endmacro %}


{#- As dbt's own; but the staging table that a killed run left goes first, else every later snapshot would stop at it. -#}
{% macro build_snapshot_staging_table(strategy, sql, target_relation) -%}
    {%- set staging = make_temp_relation(target_relation) -%}
    {%- do run_query('drop table if exists ' ~ staging) -%}
    {%- call statement('build_snapshot_staging_relation') -%}
        {{ create_table_as(True, staging, snapshot_staging_table(strategy, sql, target_relation)) }}
    {%- endcall -%}
    {{ return(staging) }}
{%- endmacro %}
