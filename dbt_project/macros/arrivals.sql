{#- Bronze as it stood when this dbt run began: every model of the run sees the same batches. By version, looked up
    once a model: Trino 476 leaks one storage connection for each log file that FOR TIMESTAMP AS OF reads, until its
    pool is empty and every query hangs. Compiling alone asks nothing. -#}
{% macro as_of_start(relation) -%}
    {%- if execute and flags.WHICH in ('run', 'build', 'retry') -%}
        {%- set history = relation.incorporate(path={'identifier': relation.identifier ~ '$history'}) -%}
        {%- set version = run_query(
            'select max(version) from ' ~ history ~ ' where "timestamp" <= ' ~ run_time()
        ).rows[0][0] -%}
        {%- if version is not none %} for version as of {{ version }} {% endif -%}
    {%- endif -%}
{%- endmacro %}


{#- The newest batch that `relation` holds, as {'ingested_at', 'batch_id'}; none when there is none. -#}
{% macro newest_batch(relation) -%}
    {%- if execute and relation -%}
        {%- set moment = newest_value(relation, 'ingested_at') -%}
        {%- if moment -%}
            {%- set batch = run_query(
                'select max(batch_id) from ' ~ relation ~ " where ingested_at = timestamp '" ~ moment ~ "'"
            ).rows[0][0] -%}
            {{ return({'ingested_at': moment, 'batch_id': batch}) }}
        {%- endif -%}
    {%- endif -%}
    {{ return(none) }}
{%- endmacro %}


{#- Only batches after `mark`: a batch has one ingested_at, which never goes back, and its number grows with it. -#}
{% macro since(mark) -%}
    {%- if mark %}
    where
        ingested_date >= date '{{ mark.ingested_at[:10] }}'
        and (
            ingested_at > timestamp '{{ mark.ingested_at }}'
            or (ingested_at = timestamp '{{ mark.ingested_at }}' and batch_id > {{ mark.batch_id }})
        )
    {%- endif %}
{%- endmacro %}


{#- silver.transactions as it stood before this run. The models of repeats and conflicts run before it, so that its
    newest ingested_at vouches for them too; a ref would close a circle. None before the first run, nor when that run
    did not end. -#}
{% macro known_payments() -%}
    {%- if execute and not flags.FULL_REFRESH -%}
        {%- set known = adapter.get_relation(this.database, this.schema, 'transactions') -%}
        {%- if known and not is_unfinished(known) -%}
            {{ return(known) }}
        {%- endif -%}
    {%- endif -%}
    {{ return(none) }}
{%- endmacro %}


{#- CTEs on what arrived since `mark`: `arrivals` (all of it), `shared` (ids that more than one arrival has, here or in
    Silver) and `sharing` (the arrivals under those ids, with row_hash, first_hash and place: 1 for the first of an
    id). Ids are found by narrow columns; only the few wide rows that share one are ranked and hashed. -#}
{% macro sharing_arrivals(mark, known) -%}
arrivals as (
    select * from {{ ref('arrived_payments') }}
    {{ since(mark) }}
),

shared as (
    select
        source,
        transaction_id
    from arrivals
    group by source, transaction_id
    having count(*) > 1
    {%- if known %}
    union
    select
        arrivals.source,
        arrivals.transaction_id
    from arrivals
    inner join {{ known }} as known
        on arrivals.source = known.source and arrivals.transaction_id = known.transaction_id
    {%- endif %}
),

{% if known -%}
firsts as (
    select
        known.source,
        known.transaction_id,
        known.row_hash
    from {{ known }} as known
    inner join shared on known.source = shared.source and known.transaction_id = shared.transaction_id
),

{% endif -%}
hashed as (
    select
        arrivals.*,
        {{ content_hash('arrivals') }} as row_hash
    from arrivals
    inner join shared on arrivals.source = shared.source and arrivals.transaction_id = shared.transaction_id
),

sharing as (
    select
        hashed.*,
        {%- if known %}
        coalesce(firsts.row_hash, first_value(hashed.row_hash) over by_arrival) as first_hash,
        if(firsts.source is null, row_number() over by_arrival, 2) as place
        {%- else %}
        first_value(hashed.row_hash) over by_arrival as first_hash,
        row_number() over by_arrival as place
        {%- endif %}
    from hashed
    {%- if known %}
    left join firsts on hashed.source = firsts.source and hashed.transaction_id = firsts.transaction_id
    {%- endif %}
    window by_arrival as (
        partition by hashed.source, hashed.transaction_id
        order by hashed.ingested_at, hashed.source_partition, hashed.source_offset
    )
)
{%- endmacro %}


{#- The CTE `later_arrivals`: every arrival since the last run whose (source, transaction_id) had arrived before. -#}
{% macro later_arrivals() -%}
{%- set known = known_payments() -%}
{%- set mark = newest_batch(known) -%}
{{ sharing_arrivals(mark, known) }},

later_arrivals as (
    select * from sharing
    where
        place > 1
        {%- if execute and is_incremental() %}
        and not exists (
            select 1 from {{ this }} as stored
            where {{ same_arrival('stored', 'sharing') }}
        )
        {%- endif %}
)
{%- endmacro %}


{#- Two rows are one arrival: the same place on Kafka, read in the same batch. -#}
{% macro same_arrival(one, other) -%}
    {{ one }}.source_topic = {{ other }}.source_topic
    and {{ one }}.source_partition = {{ other }}.source_partition
    and {{ one }}.source_offset = {{ other }}.source_offset
    and {{ one }}.ingested_at = {{ other }}.ingested_at
{%- endmacro %}


{#- Refuses a run that leaves out models whose rows this one vouches for; on a machine that only compiles, nothing. -#}
{% macro needs_in_same_run(models) -%}
    {%- if execute and flags.WHICH in ('run', 'build') -%}
        {%- set chosen = [] -%}
        {%- for resource in selected_resources -%}{%- do chosen.append(resource.split('.')[-1]) -%}{%- endfor -%}
        {%- for name in models if name not in chosen -%}
            {{ exceptions.raise_compiler_error(
                this.identifier ~ ' must be run with ' ~ name ~ ', whose rows would be skipped later: select +'
                ~ this.identifier
            ) }}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
