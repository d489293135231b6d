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


{#- Incremental strategy `changed`: the model's query holds only rows that are new or differ from what stands. They
    are appended, or with a unique_key merged, and the MERGE reads only the files that may hold their days (config
    `clustered_by`). Without such rows nothing is committed: Trino 476 makes a Delta version of an empty INSERT or
    MERGE. -#}
{% macro get_incremental_changed_sql(arg_dict) %}
    {%- set day = config.get('clustered_by') -%}
    {%- set query -%}
        select count(*) as changed
        {%- if day %}, array_join(array_sort(array_agg(distinct cast({{ day }} as varchar))), ',') as days {% endif %}
        from {{ arg_dict['temp_relation'] }}
    {%- endset -%}
    {%- set found = run_query(query).rows[0] -%}
    {%- if found[0] == 0 -%}
        {{ return('select 0 as changed') }}
    {%- endif -%}
    {%- if not arg_dict['unique_key'] -%}
        {{ return(get_incremental_append_sql(arg_dict)) }}
    {%- endif -%}
    {%- if day -%}
        {%- set days = found[1].split(',') -%}
        {%- if days | length <= 366 -%}
            {%- set predicate = "DBT_INTERNAL_DEST." ~ day ~ " in (date '" ~ days | join("', date '") ~ "')" -%}
        {%- else -%}
            {%- set predicate
                = "DBT_INTERNAL_DEST." ~ day ~ " between date '" ~ days[0] ~ "' and date '" ~ days[-1] ~ "'" -%}
        {%- endif -%}
        {%- do arg_dict.update({'incremental_predicates': [predicate]}) -%}
    {%- endif -%}
    {{ return(get_incremental_merge_sql(arg_dict)) }}
{% endmacro %}


{#- What strategy `changed` counts and then writes is worked out once, into a table beside the model's own. -#}
{% macro get_incremental_tmp_relation_type(strategy, unique_key, language) -%}
    {{ return('table') }}
{%- endmacro %}


{#- The rows that this incremental run has to make again, found by `query` and kept in a table beside the model's own
    while it runs: Trino repeats a WITH wherever it is named, and the plan would grow past its limit. Returns none
    unless the run is incremental, else relation, is_empty, and first_day and last_day as date literals. -#}
{% macro wanted_rows(query, day) -%}
    {%- if not execute or not is_incremental() -%}
        {{ return(none) }}
    {%- endif -%}
    {%- if flags.WHICH not in ('run', 'build', 'retry') -%}
        {#- Compiling must not write. -#}
        {{ return({'relation': '(' ~ query ~ ')', 'is_empty': false, 'first_day': "date '1970-01-01'",
                   'last_day': "date '9999-12-31'"}) }}
    {%- endif -%}
    {%- set relation = wanted_relation() -%}
    {%- do run_query('create or replace table ' ~ relation ~ ' as ' ~ query) -%}
    {%- set found = run_query(
        'select count(*), cast(min(' ~ day ~ ') as varchar), cast(max(' ~ day ~ ') as varchar) from ' ~ relation
    ).rows[0] -%}
    {{ return({'relation': relation, 'is_empty': found[0] == 0, 'first_day': "date '" ~ found[1] ~ "'",
               'last_day': "date '" ~ found[2] ~ "'"}) }}
{%- endmacro %}


{% macro wanted_relation() -%}
    {{ return(this.incorporate(path={'identifier': this.identifier ~ '__wanted'}, type='table')) }}
{%- endmacro %}


{% macro drop_wanted() -%}
    {%- if execute and is_incremental() -%} drop table if exists {{ wanted_relation() }} {%- endif -%}
{%- endmacro %}
