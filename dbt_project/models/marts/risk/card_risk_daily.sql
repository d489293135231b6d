{{ config(
    materialized='incremental',
    unique_key=['card_id', 'event_day'],
    clustered_by='event_day',
    post_hook='{{ drop_wanted() }}'
) }}
{%- set mark = newest('updated_at') %}
{%- set columns = [
    'payments', 'amount', 'known_frauds_7d', 'known_frauds_30d', 'unreported_amount_30d', 'amount_at_risk',
] %}

{#- Days of a card that a fresh payment reaches (its own and the 29 after it), or a fresh verdict, once it is known. -#}
{%- set touched %}
with reached as (
    select
        card_id,
        event_day as from_day,
        event_day + {{ days(29) }} as to_day
    from {{ ref('transactions') }}
    where loaded_at > timestamp '{{ mark }}'
    union
    select
        payments.card_id,
        greatest(payments.event_day, labels.known_day) as from_day,
        payments.event_day + {{ days(29) }} as to_day
    from {{ ref('label_events') }} as labels
    inner join {{ ref('transactions') }} as payments
        on labels.source = payments.source and labels.transaction_id = payments.transaction_id
    where labels.loaded_at > timestamp '{{ mark }}'
)

select distinct
    paid.card_id,
    paid.event_day
from {{ ref('transactions') }} as paid
inner join reached
    on
        paid.card_id = reached.card_id
        and paid.event_day >= reached.from_day
        and paid.event_day <= reached.to_day
where
    paid.event_day >= (select min(reached.from_day) from reached)
    and paid.card_id in (select reached.card_id from reached)
{%- endset -%}

{%- set wanted = wanted_rows(touched, 'event_day') if mark else none -%}
{%- if wanted and wanted.is_empty -%}
select * from {{ this }}
where false
{%- else -%}
with verdicts as (
    {{ known_verdicts() }}
),

wanted as (
    select distinct
        card_id,
        event_day
    from {{ wanted.relation if wanted else ref('transactions') }}
),

payments as (
    select
        source,
        transaction_id,
        card_id,
        event_day,
        is_attempt,
        if(is_attempt, coalesce({{ ten_thousandths('amount') }}, 0), 0) as parts
    from {{ ref('transactions') }}
    {%- if wanted %}
    where
        event_day between {{ wanted.first_day }} - {{ days(30) }} and {{ wanted.last_day }}
        and card_id in (select wanted.card_id from wanted)
    {%- endif %}
),

-- Here a verdict counts at the end of the day on which it becomes known: a day before the spans of known_verdicts.
known as (
    select
        payments.card_id,
        payments.event_day,
        verdicts.verdict,
        verdicts.first_day - {{ days(1) }} as first_day,
        verdicts.last_day - {{ days(1) }} as last_day
    from payments
    inner join verdicts
        on payments.source = verdicts.source and payments.transaction_id = verdicts.transaction_id
    where payments.is_attempt
),

reports as (
    select
        source,
        transaction_id,
        min(first_day) - {{ days(1) }} as reported_day
    from verdicts
    group by source, transaction_id
),

-- What enters a 30-day sum on one day and leaves it on another.
steps as (
    select
        known.card_id,
        moves.day,
        if(spans.days = 7, moves.step, 0) as frauds_7,
        if(spans.days = 30, moves.step, 0) as frauds_30,
        cast(0 as decimal(18, 0)) as unreported
    from known
    cross join unnest(array[7, 30]) as spans (days)
    cross join unnest(
        array[
            greatest(known.event_day, known.first_day),
            least(known.event_day + (spans.days - 1) * {{ days(1) }}, known.last_day) + {{ days(1) }}
        ],
        array[1, -1]
    ) as moves (day, step)
    where
        known.verdict = 'fraud'
        and greatest(known.event_day, known.first_day)
        <= least(known.event_day + (spans.days - 1) * {{ days(1) }}, known.last_day)
    union all
    select
        payments.card_id,
        moves.day,
        0,
        0,
        moves.step * payments.parts
    from payments
    left join reports
        on payments.source = reports.source and payments.transaction_id = reports.transaction_id
    cross join unnest(
        array[
            payments.event_day,
            least(payments.event_day + {{ days(30) }}, coalesce(reports.reported_day, date '9999-12-31'))
        ],
        array[1, -1]
    ) as moves (day, step)
    where coalesce(reports.reported_day, date '9999-12-31') > payments.event_day
),

by_day as (
    select
        card_id,
        day,
        sum(wanted) as wanted,
        sum(payments) as payments,
        sum(parts) as parts,
        sum(frauds_7) as frauds_7,
        sum(frauds_30) as frauds_30,
        sum(unreported) as unreported
    from (
        select
            card_id,
            event_day as day,
            0 as wanted,
            count(*) as payments,
            sum(parts) as parts,
            0 as frauds_7,
            0 as frauds_30,
            cast(0 as decimal(38, 0)) as unreported
        from payments
        group by card_id, event_day
        union all
        select
            card_id,
            day,
            0,
            0,
            0,
            frauds_7,
            frauds_30,
            unreported
        from steps
        union all
        select
            card_id,
            event_day,
            1,
            0,
            0,
            0,
            0,
            0
        from wanted
    )
    group by card_id, day
),

running as (
    select
        card_id,
        day as event_day,
        wanted,
        payments,
        parts,
        sum(frauds_7) over so_far as frauds_7,
        sum(frauds_30) over so_far as frauds_30,
        sum(unreported) over so_far as unreported
    from by_day
    window so_far as (partition by card_id order by day)
),

risks as (
    select
        card_id,
        event_day,
        payments,
        {{ as_double('parts') }} / 1e4 as amount,
        frauds_7 as known_frauds_7d,
        frauds_30 as known_frauds_30d,
        {{ as_double('unreported') }} / 1e4 as unreported_amount_30d,
        if(frauds_30 > 0, {{ as_double('unreported') }} / 1e4, 0e0) as amount_at_risk
    from running
    where wanted > 0
),

rows_now as (
    select
        *,
        {{ row_tail(['card_id', 'event_day'] + columns) }}
    from risks
)

{{ changed_rows(['card_id', 'event_day'], 'event_day', wanted) }}
{%- endif %}
