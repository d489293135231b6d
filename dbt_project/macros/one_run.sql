{#- What stands in each statement of a run, for those who look at Trino's queries: whose it is, and for which schemas. -#}
{% macro statement_comment(node) -%}
    {%- set said = {
        'app': 'dbt', 'dbt_version': dbt_version, 'command': flags.WHICH, 'invocation_id': invocation_id,
        'schemas': env_var('DBT_SCHEMA_PREFIX', '') ~ target.schema,
    } -%}
    {%- if node is not none -%}{%- do said.update({'node_id': node.unique_id}) -%}{%- endif -%}
    {{ return(tojson(said)) }}
{%- endmacro %}


{#- Refuses to begin while another dbt run writes the same schemas: its appends and ours would both stand. Trino's own
    list of queries tells who is at work, so nothing has to be locked, and a killed run holds nobody up for longer than
    its last statement goes on, and some seconds. Of two that begin at once the earlier goes on. -#}
{% macro one_run_at_a_time() -%}
    {%- if execute and flags.WHICH in ('run', 'build', 'seed', 'snapshot', 'retry') -%}
        {%- do run_query("select 'run-begins'") -%}
        {%- set others = run_query(runs_at_work()).rows -%}
        {%- if others -%}
            {#- Else whoever tries again would take this run, which is over, for one at work. -#}
            {%- do run_query("select 'run-ends'") -%}
            {{ exceptions.raise_compiler_error(
                'another dbt run writes these tables: user ' ~ others[0][0] ~ ', since ' ~ others[0][1] ~ ', invocation '
                ~ others[0][2] ~ '. Nothing was written. Try again when it has ended; the platform\'s own refresh rests '
                ~ 'after `python -m infra.native stop refresh`, and a killed run is forgotten after some seconds.'
            ) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}


{% macro run_is_over() -%}
    {%- if execute and flags.WHICH in ('run', 'build', 'seed', 'snapshot', 'retry') -%}
        {%- do run_query("select 'run-ends'") -%}
    {%- endif -%}
{%- endmacro %}


{#- The other runs that began before this one and have not ended: they ask Trino something, or did some seconds ago. -#}
{% macro runs_at_work() -%}
    with statements as (
        select
            regexp_extract(query, '"invocation_id": "([^"]+)"', 1) as invocation,
            "user",
            created,
            state in ('FINISHED', 'FAILED') as is_done,
            coalesce("end", current_timestamp) as last_seen,
            -- The brackets keep this statement from being taken for what it looks for.
            regexp_like(query, 'select .run[-]begins') as begins,
            regexp_like(query, 'select .run[-]ends') as ends,
            regexp_like(query, '"node_id": "(model|seed|snapshot|test)[.]') as works
        from system.runtime.queries
        where
            regexp_like(query, '"command": "(run|build|seed|snapshot|retry)"')
            and regexp_like(query, '"schemas": "{{ env_var('DBT_SCHEMA_PREFIX', '') ~ target.schema }}"')
    ),

    runs as (
        select
            invocation,
            max("user") as "user",
            min(created) as first_seen,
            min(if(begins, created)) as begun,
            max(last_seen) as last_seen,
            bool_or(not is_done) as is_busy,
            bool_or(ends) as has_ended,
            bool_or(begins or works) as has_begun
        from statements
        group by invocation
    )

    select
        runs."user",
        cast(runs.first_seen as varchar),
        runs.invocation
    from runs
    cross join (select begun from runs where invocation = '{{ invocation_id }}') as mine
    where
        runs.invocation <> '{{ invocation_id }}'
        and runs.has_begun
        and not runs.has_ended
        and (runs.is_busy or runs.last_seen > current_timestamp - interval '10' second)
        and coalesce(runs.begun, runs.first_seen) < mine.begun
{%- endmacro %}
