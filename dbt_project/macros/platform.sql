{#- The newest day that profiles may describe: the platform's clock is the newest event, not the wall, so that a
    replayed year works; a day's row is published some hours after its midnight. -#}
{% macro horizon() -%}
    select {{ utc_day("(max(event_time) - interval '" ~ var('publish_delay_hours') ~ "' hour)") }} as last_day
    from {{ ref('transactions') }}
{%- endmacro %}


{#- The moment at which the row of `as_of_day` is published. -#}
{% macro published(as_of_day) -%}
    with_timezone(cast({{ as_of_day }} as timestamp(3)), 'UTC') + interval '{{ var("publish_delay_hours") }}' hour
{%- endmacro %}


{#- The last three columns of every Gold row: hash of what it says, version that grows with each rewrite, and when. -#}
{% macro row_tail(columns) -%}
    {{ row_hash(columns) }} as row_hash,
    cast(to_unixtime({{ run_time() }}) * 1000 as bigint) as profile_version,
    {{ run_time() }} as updated_at
{%- endmacro %}


{#- Label events as spans of days: the verdict of a payment as known at 00:00 UTC of each day from first_day to
    last_day, both included (an event counts at a midnight when known_at is before it, until a later one does). -#}
{% macro known_verdicts() -%}
    select
        source,
        transaction_id,
        verdict,
        known_day + {{ days(1) }} as first_day,
        coalesce(lead(known_day) over by_time, date '9999-12-31') as last_day,
        row_number() over by_time as place
    from {{ ref('label_events') }}
    window by_time as (
        partition by source, transaction_id
        order by
            {{ verdict_order() }}
    )
{%- endmacro %}


{#- The first day on which silence does not yet mean genuine: some of its payments are younger than maturity_days at the
    platform's newest event. All days before it are mature. -#}
{% macro first_open_day() -%}
    select {{ utc_day('(max(event_time) - ' ~ days(var('maturity_days')) ~ ')') }} as first_open_day
    from {{ ref('transactions') }}
{%- endmacro %}


{#- A decision is about the arrival that Silver keeps of the payment, not about a repeat or a conflict of it. -#}
{% macro decided_payment(decisions, payments) -%}
    {{ decisions }}.event_day = {{ payments }}.event_day
    and {{ decisions }}.payment_partition = {{ payments }}.source_partition
    and {{ decisions }}.payment_offset = {{ payments }}.source_offset
    and {{ decisions }}.source = {{ payments }}.source
    and {{ decisions }}.transaction_id = {{ payments }}.transaction_id
{%- endmacro %}
