{#- Whether a table made whole would have too many open partitions for Trino's memory: a writer holds what it has of each
    day until the end. By the rows of the largest source, as Bronze's log counts them; no data is read. -#}
{% macro is_large() -%}
    {%- set counted = run_query('show stats for ' ~ source('bronze', 'transactions')).rows | last -%}
    {{ return((counted['row_count'] or 0) > var('rows_made_at_once')) }}
{%- endmacro %}


{#- Makes `relation` by several commits, each of some days (column `day`): what the query gives is kept in a table beside
    it, which has no partitions, and read from there. A run that is killed on the way leaves the word UNFINISHED, by
    which the next run knows that it has to begin again. Returns the last statement, which takes the word away. -#}
{% macro made_in_parts(relation, sql, day) -%}
    {%- set whole = relation.incorporate(path={'identifier': relation.identifier ~ '__whole'}) -%}
    {%- do run_query('create or replace table ' ~ whole ~ ' as (' ~ sql ~ ')') -%}
    {%- do run_query(
        'create or replace table ' ~ relation ~ " comment '" ~ unfinished() ~ "' " ~ properties(False)
        ~ ' as select * from ' ~ whole ~ ' where false'
    ) -%}
    {%- set days = run_query(
        'select cast(' ~ day ~ ' as varchar), count(*) from ' ~ whole ~ ' group by 1 order by 1'
    ).rows -%}
    {%- set part = namespace(first=none, rows=0, days=0) -%}
    {%- for found in days -%}
        {%- set part.first = part.first or found[0] -%}
        {%- set part.rows = part.rows + found[1] -%}
        {%- set part.days = part.days + 1 -%}
        {%- if loop.last or part.days >= 100 or part.rows >= var('rows_made_at_once') / 2 -%}
            {%- do run_query(
                'insert into ' ~ relation ~ ' select * from ' ~ whole
                ~ ' where ' ~ day ~ " between date '" ~ part.first ~ "' and date '" ~ found[0] ~ "'"
            ) -%}
            {%- set part.first = none -%}
            {%- set part.rows = 0 -%}
            {%- set part.days = 0 -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do run_query('drop table ' ~ whole) -%}
    comment on table {{ relation }} is null
{%- endmacro %}


{% macro unfinished() -%}
    UNFINISHED: a run that made it in parts did not end; the next one makes it again
{%- endmacro %}


{% macro is_unfinished(relation) -%}
    {%- set said = run_query(
        "select comment from system.metadata.table_comments where catalog_name = '" ~ relation.database
        ~ "' and schema_name = '" ~ relation.schema ~ "' and table_name = '" ~ relation.identifier ~ "'"
    ).columns[0].values() -%}
    {{ return(said | length > 0 and said[0] == unfinished()) }}
{%- endmacro %}


{#- dbt's own rule, and one more reason: the table is not finished. -#}
{% macro should_full_refresh() -%}
    {%- set asked = config.get('full_refresh') -%}
    {%- if asked is none -%}
        {%- set asked = flags.FULL_REFRESH -%}
    {%- endif -%}
    {%- if asked or not execute or not config.get('partition_day') -%}
        {{ return(asked) }}
    {%- endif -%}
    {{ return(is_unfinished(this)) }}
{%- endmacro %}
