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


{#- Each decided payment once, with the decision in force: what the API answered, for its caller acted on that, else what
    the stream decided on the arrival that Silver keeps (not on a repeat or a conflict of it). A payment that was only
    asked of the API stands nowhere else, so its fields are those of the decision. `first_day` and `last_day` bound it. -#}
{% macro decided_payments(first_day=none, last_day=none) -%}
(
    select
        decisions.source,
        decisions.transaction_id,
        payments.card_id,
        payments.event_time,
        decisions.event_day,
        decisions.decision,
        decisions.decided_by,
        decisions.score,
        decisions.model_version,
        decisions.card_status,
        decisions.card_days_since_first_seen,
        payments.amount,
        payments.mcc,
        payments.merchant_country,
        payments.card_present,
        greatest(decisions.loaded_at, payments.loaded_at) as loaded_at
    from {{ ref('decisions') }} as decisions
    inner join {{ ref('transactions') }} as payments
        on
            decisions.event_day = payments.event_day
            and decisions.payment_partition = payments.source_partition
            and decisions.payment_offset = payments.source_offset
            and decisions.source = payments.source
            and decisions.transaction_id = payments.transaction_id
    left join {{ ref('decisions') }} as answered
        on
            decisions.event_day = answered.event_day
            and decisions.source = answered.source
            and decisions.transaction_id = answered.transaction_id
            and answered.origin = 'api'
    where
        answered.transaction_id is null
        {{ between_days('decisions.event_day', first_day, last_day) }}
        {{ between_days('payments.event_day', first_day, last_day) }}
    union all
    select
        decisions.source,
        decisions.transaction_id,
        decisions.card_id,
        decisions.event_time,
        decisions.event_day,
        decisions.decision,
        decisions.decided_by,
        decisions.score,
        decisions.model_version,
        decisions.card_status,
        decisions.card_days_since_first_seen,
        decisions.amount,
        decisions.mcc,
        decisions.merchant_country,
        decisions.card_present,
        decisions.loaded_at
    from (
        select
            *,
            row_number() over (
                partition by event_day, source, transaction_id order by decided_at, decision_id
            ) as place
        from {{ ref('decisions') }}
        where
            origin = 'api'
            {{ between_days('event_day', first_day, last_day) }}
    ) as decisions
    where decisions.place = 1
)
{%- endmacro %}


{% macro between_days(column, first_day, last_day) -%}
{%- if first_day is not none %}and {{ column }} between {{ first_day }} and {{ last_day }}{% endif -%}
{%- endmacro %}
