{#- The moment of this dbt run, UTC, as a Trino literal: one value in every model of the run. -#}
{% macro run_time() -%}
    timestamp '{{ run_started_at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] }} UTC'
{%- endmacro %}


{#- The newest value of `column` in `relation`, as text, from the statistics in the table's log: no data is read. Only
    when the log does not say (an empty table), the rows are asked. -#}
{% macro newest_value(relation, column) -%}
    {%- for row in run_query('show stats for ' ~ relation).rows if row['column_name'] == column and row['high_value'] -%}
        {{ return(row['high_value']) }}
    {%- endfor -%}
    {{ return(run_query('select cast(max(' ~ column ~ ') as varchar) from ' ~ relation).rows[0][0]) }}
{%- endmacro %}


{#- The newest value of `column` in this model's table as a Trino literal, read before the model runs, so that
    Trino can skip files by it. Only for incremental runs. -#}
{% macro newest(column) -%}
    {%- if execute and is_incremental() -%}
        {{ return(newest_value(this, column)) }}
    {%- endif -%}
    {{ return(none) }}
{%- endmacro %}


{#- The newest value of the column `day` in this model's table, as text; when there is none, a day before all. -#}
{% macro newest_day(day) -%}
    {{ return(newest(day) or '1970-01-01') }}
{%- endmacro %}
