{#- Bronze rows that this model's last run had not seen: ingested_at never goes back and a batch has one value, so
    `mark` is the newest one seen. Rows of the mark itself are read again; the caller knows them by their offset. -#}
{% macro since(mark) -%}
    {%- if mark %}
    where
        ingested_at >= timestamp '{{ mark }}'
        and ingested_date >= date '{{ mark[:10] }}'
    {%- endif %}
{%- endmacro %}


{#- silver.transactions as it stood before this run. The models of repeats and conflicts run before it, so that its
    newest ingested_at vouches for them too; a ref would close a circle. None before the first run. -#}
{% macro known_payments() -%}
    {%- if execute and not flags.FULL_REFRESH -%}
        {{ return(adapter.get_relation(this.database, this.schema, 'transactions')) }}
    {%- endif -%}
    {{ return(none) }}
{%- endmacro %}


{#- Every arrival since the last run whose (source, transaction_id) had arrived before, with the first one's hash and
    place. Columns: those of arrived_payments, first_hash. -#}
{% macro later_arrivals() -%}
{%- set known = known_payments() -%}
{%- set mark = none -%}
{%- if known -%}
    {%- set mark = run_query('select cast(max(ingested_at) as varchar) from ' ~ known).columns[0].values()[0] -%}
{%- endif -%}
arrivals as (
    select * from {{ ref('arrived_payments') }}
    {{ since(mark) }}
),

ranked as (
    select
        source,
        transaction_id,
        source_topic,
        source_partition,
        source_offset,
        ingested_at,
        row_number() over by_arrival as place,
        first_value(row_hash) over by_arrival as first_hash
    from arrivals
    window by_arrival as (
        partition by source, transaction_id order by ingested_at, source_partition, source_offset
    )
),

{% if known -%}
later as (
    select
        ranked.source_topic,
        ranked.source_partition,
        ranked.source_offset,
        ranked.ingested_at,
        coalesce(known.row_hash, ranked.first_hash) as first_hash
    from ranked
    left join {{ known }} as known
        on ranked.source = known.source and ranked.transaction_id = known.transaction_id
    where
        (ranked.place > 1 or known.transaction_id is not null)
        -- Rows of the mark itself: the first arrival is in Silver by its own offset.
        and not (
            known.transaction_id is not null
            and known.ingested_at = ranked.ingested_at
            and known.source_partition = ranked.source_partition
            and known.source_offset = ranked.source_offset
        )
),
{%- else -%}
later as (
    select source_topic, source_partition, source_offset, ingested_at, first_hash
    from ranked
    where place > 1
),
{%- endif %}

later_arrivals as (
    select
        arrivals.*,
        later.first_hash
    from arrivals
    inner join later
        on
            arrivals.source_topic = later.source_topic
            and arrivals.source_partition = later.source_partition
            and arrivals.source_offset = later.source_offset
            and arrivals.ingested_at = later.ingested_at
    {%- if execute and is_incremental() %}
    where not exists (
        select 1 from {{ this }} as stored
        where
            stored.source_topic = arrivals.source_topic
            and stored.source_partition = arrivals.source_partition
            and stored.source_offset = arrivals.source_offset
            and stored.ingested_at = arrivals.ingested_at
    )
    {%- endif %}
)
{%- endmacro %}


{#- Refuses a run that leaves out models whose rows this one vouches for; on a machine that only compiles, nothing. -#}
{% macro needs_in_same_run(models) -%}
    {%- if execute and flags.WHICH in ('run', 'build') -%}
        {%- set chosen = selected_resources | map('split', '.') | map('last') | list -%}
        {%- for name in models if name not in chosen -%}
            {{ exceptions.raise_compiler_error(
                this.identifier ~ ' must be run with ' ~ name ~ ', whose rows would be skipped later: select +'
                ~ this.identifier
            ) }}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
