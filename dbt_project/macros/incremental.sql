{#- An incremental table: its query gives only rows that are new or differ from what stands. They are worked out once,
    into a table beside it, and appended, or with a unique_key merged; the MERGE reads only the files that may hold
    their days (config `clustered_by`). Without such rows nothing is committed: Trino 476 makes a Delta version of an
    empty INSERT or MERGE. It stands in place of dbt-trino's own, which commits those and asks for the columns again and again. -#}
{% materialization incremental, adapter='trino' %}
    {%- set table = this.incorporate(type='table') -%}
    {%- set there = load_cached_relation(this) -%}
    {%- if there is not none and not there.is_table -%}
        {%- do adapter.drop_relation(there) -%}
        {%- set there = none -%}
    {%- endif -%}
    {{ run_hooks(pre_hooks) }}
    {%- if is_made_anew() -%}
        {%- call statement('main') -%}
            {{ create_table_as(False, table, compiled_code, 'replace' if there is not none else none) }}
        {%- endcall -%}
    {%- else -%}
        {%- set changed = make_temp_relation(this).incorporate(type='table') -%}
        {%- call statement('changed') -%}
            create or replace table {{ changed }} as (
                {{ compiled_code }}
            )
        {%- endcall -%}
        {%- set columns = checked_columns(changed, table) -%}
        {%- if load_result('changed').response.rows_affected == 0 -%}
            {%- call noop_statement('main', 'NOTHING CHANGED', 'NOTHING CHANGED', 0) -%} {%- endcall -%}
        {%- else -%}
            {%- set predicates = changed_days(changed) -%}
            {%- call statement('main') -%}
                {{ get_merge_sql(table, changed, config.get('unique_key'), columns, predicates) }}
            {%- endcall -%}
        {%- endif -%}
        {%- do run_query('drop table if exists ' ~ changed) -%}
    {%- endif -%}
    {{ run_hooks(post_hooks) }}
    {{ return({'relations': [table]}) }}
{% endmaterialization %}


{#- The columns of the rows `made`, which are those of the table that they go to, and of the model's contract if it has
    one; a run that would write others is refused. -#}
{% macro checked_columns(made, table) -%}
    {%- set rows = columns_of(table.database, table.schema, [made.identifier, table.identifier]) -%}
    {%- set given, stands, promised, columns = [], [], [], [] -%}
    {%- for name, column, type in rows -%}
        {%- do (given if name == made.identifier else stands).append(column ~ ' ' ~ type) -%}
        {%- if name == made.identifier -%}{%- do columns.append(api.Column.from_description(column, type)) -%}{%- endif -%}
    {%- endfor -%}
    {%- for column in model.columns.values() if config.get('contract').enforced -%}
        {%- do promised.append(column.name ~ ' ' ~ column.data_type) -%}
    {%- endfor -%}
    {%- for whose, others in [('its table', stands), ('its contract', promised or given)] -%}
        {%- if given | sort != others | sort -%}
            {{ exceptions.raise_compiler_error(
                this.identifier ~ ': the columns of the query are not those of ' ~ whose ~ '; only there: '
                ~ (others | reject('in', given) | join(', ') or 'none') ~ '; only in the query: '
                ~ (given | reject('in', others) | join(', ') or 'none') ~ '. No row was written to it. '
                ~ ('Its rows cannot be made again: change its columns by alter table.'
                   if config.get('full_refresh') is false else
                   'A column more, less or of another type is a new table: dbt run --full-refresh --select '
                   ~ this.identifier)
            ) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}


{#- What the days of the changed rows let a MERGE leave unread, as predicates on the table. -#}
{% macro changed_days(changed) -%}
    {%- set day = config.get('clustered_by') -%}
    {%- if not day or not config.get('unique_key') -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set days = run_query(
        'select distinct cast(' ~ day ~ ' as varchar) as day from ' ~ changed ~ ' where ' ~ day
        ~ ' is not null order by day'
    ).columns[0].values() -%}
    {%- if not days -%}
        {{ return(none) }}
    {%- endif -%}
    {%- if days | length <= 366 -%}
        {{ return(["DBT_INTERNAL_DEST." ~ day ~ " in (date '" ~ days | join("', date '") ~ "')"]) }}
    {%- endif -%}
    {{ return(["DBT_INTERNAL_DEST." ~ day ~ " between date '" ~ days[0] ~ "' and date '" ~ days[-1] ~ "'"]) }}
{%- endmacro %}
