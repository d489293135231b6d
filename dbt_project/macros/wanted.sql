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
