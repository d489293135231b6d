{#- At the end of a run: one row in ops.dbt_runs for each model that wrote, with the query that wrote it. Delta's history
    names the same query for the version that it made, so both together say which invocation made which version. A run
    that wrote nothing leaves nothing. A run that was killed leaves nothing either: its versions have a user and a
    query, and no invocation. -#}
{% macro record_run(results) -%}
    {%- if execute -%}
        {%- set rows = [] -%}
        {%- for result in results -%}
            {%- set response = result.adapter_response or {} -%}
            {%- set wrote = (response.get('_message') or '').split(' (')[0] -%}
            {%- if response.get('query_id') and wrote in ('CREATE TABLE', 'INSERT', 'MERGE', 'DELETE', 'UPDATE') -%}
                {%- do rows.append(run_row(result, response, wrote)) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if rows -%}
            {%- do run_query('create schema if not exists ' ~ runs_table().without_identifier()
                ~ " with (location = '" ~ schema_location(runs_table().schema) ~ "')") -%}
            {%- do run_query('create table if not exists ' ~ runs_table() ~ ' (' ~ runs_columns() ~ ')') -%}
            {%- do run_query('insert into ' ~ runs_table() ~ ' values ' ~ rows | join(', ')) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}


{% macro runs_table() -%}
    {{ return(api.Relation.create(target.database, generate_schema_name('ops', none), 'dbt_runs', type='table')) }}
{%- endmacro %}


{#- As models/ops.yml describes them. -#}
{% macro runs_columns() -%}
    invocation_id varchar,
    command varchar,
    model varchar,
    table_schema varchar,
    table_name varchar,
    started_at timestamp(3) with time zone,
    ended_at timestamp(3) with time zone,
    query_id varchar,
    operation varchar,
    affected_rows bigint,
    full_refresh boolean,
    trino_user varchar,
    git_commit varchar,
    dbt_version varchar
{%- endmacro %}


{% macro run_row(result, response, wrote) -%}
    {%- set done = result.timing | selectattr('name', 'equalto', 'execute') | first -%}
    {%- set values = [
        text(invocation_id), text(flags.WHICH), text(result.node.name), text(result.node.schema),
        text(result.node.alias), moment(done.started_at), moment(done.completed_at), text(response.query_id),
        text(wrote), response.rows_affected, 'true' if flags.FULL_REFRESH else 'false', text(target.user),
        text(dbt_metadata_envs.get('GIT_COMMIT')), text(dbt_version),
    ] -%}
    {{ return('(' ~ values | join(', ') ~ ')') }}
{%- endmacro %}


{% macro text(value) -%}
    {{ return("'" ~ value | replace("'", "''") ~ "'" if value else 'null') }}
{%- endmacro %}


{#- A moment of dbt's, which is UTC, as a Trino literal. -#}
{% macro moment(value) -%}
    {{ return("timestamp '" ~ value.strftime('%Y-%m-%d %H:%M:%S.%f')[:-3] ~ " UTC'" if value else 'null') }}
{%- endmacro %}
