{#- Whether a table is made in parts: by the rows of the largest source, as Bronze's log counts them; no data is read. -#}
{% macro is_large() -%}
    {%- set counted = run_query('show stats for ' ~ source('bronze', 'transactions')).rows | last -%}
    {{ return((counted['row_count'] or 0) > var('rows_made_at_once')) }}
{%- endmacro %}


{#- Makes `relation` by several commits, each of some days (column `day`), so that a file holds few days and a reader who
    wants some of them skips the others by the statistics in the log. What the query gives is kept in a table beside it
    and read from there. Returns the last statement; after it `drop_whole` takes that table away. A run that is killed
    before leaves it, by which the next run knows that it has to begin again. -#}
{% macro made_in_parts(relation, sql, day) -%}
    {%- set whole = whole_of(relation) -%}
    {%- do run_query('create or replace table ' ~ whole ~ ' as (' ~ sql ~ ')') -%}
    {%- do run_query(
        'create or replace table ' ~ relation ~ ' ' ~ comment(model.get('description')) ~ ' ' ~ properties(False)
        ~ ' as select * from ' ~ whole ~ ' where false'
    ) -%}
    {%- set days = run_query(
        'select cast(' ~ day ~ ' as varchar), count(*) from ' ~ whole ~ ' group by 1 order by 1'
    ).rows -%}
    {%- set part = namespace(first=none, rows=0, statement='select 0 as made') -%}
    {%- for found in days -%}
        {%- set part.first = part.first or found[0] -%}
        {%- set part.rows = part.rows + found[1] -%}
        {%- if loop.last or part.rows >= var('rows_made_at_once') -%}
            {%- set part.statement
                = 'insert into ' ~ relation ~ ' select * from ' ~ whole
                ~ ' where ' ~ day ~ " between date '" ~ part.first ~ "' and date '" ~ found[0] ~ "'" -%}
            {%- if not loop.last -%}
                {%- do run_query(part.statement) -%}
            {%- endif -%}
            {%- set part.first = none -%}
            {%- set part.rows = 0 -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(part.statement) }}
{%- endmacro %}


{% macro drop_whole() -%}
    {%- if execute and config.get('clustered_by') and is_made_anew() -%}
        drop table if exists {{ whole_of(this) }}
    {%- endif -%}
{%- endmacro %}


{% macro whole_of(relation) -%}
    {{ return(relation.incorporate(path={'identifier': relation.identifier ~ '__whole'}, type='table')) }}
{%- endmacro %}


{#- As the catalog stood when this dbt run began. -#}
{% macro is_unfinished(relation) -%}
    {{ return(load_cached_relation(whole_of(relation)) is not none) }}
{%- endmacro %}


{#- dbt's own rule, and one more reason: the table is not finished. -#}
{% macro should_full_refresh() -%}
    {%- set asked = config.get('full_refresh') -%}
    {%- if asked is none -%}
        {%- set asked = flags.FULL_REFRESH -%}
    {%- endif -%}
    {%- if asked or not execute or not config.get('clustered_by') -%}
        {{ return(asked) }}
    {%- endif -%}
    {{ return(is_unfinished(this)) }}
{%- endmacro %}


{#- Whether this run makes the model's table from nothing. -#}
{% macro is_made_anew() -%}
    {{ return(should_full_refresh() or load_cached_relation(this) is none) }}
{%- endmacro %}
