{{ config(
    materialized='incremental',
    unique_key=['source', 'event_day'],
    clustered_by='event_day',
    post_hook='{{ drop_wanted() }}'
) }}
{%- set mark = newest('updated_at') %}
{%- set metrics = [
    'payments', 'attempts', 'cards', 'acceptors', 'amount', 'frauds', 'fraud_amount', 'fraud_cards',
    'genuine_confirmed', 'fraud_share', 'fraud_amount_share', 'mean_days_to_report',
] %}

{#- Days that a fresh payment or a fresh verdict belongs to. -#}
{%- set touched %}
select
    source,
    event_day
from {{ ref('transactions') }}
where loaded_at > timestamp '{{ mark }}'
union
select
    payments.source,
    payments.event_day
from {{ ref('label_events') }} as labels
inner join {{ ref('transactions') }} as payments
    on labels.source = payments.source and labels.transaction_id = payments.transaction_id
where labels.loaded_at > timestamp '{{ mark }}'
{%- endset -%}

{%- set wanted = wanted_rows(touched, 'event_day') if mark else none -%}
{%- if wanted and wanted.is_empty -%}
select * from {{ this }}
where false
{%- else -%}
with payments as (
    select
        payments.*,
        if(payments.is_attempt, {{ ten_thousandths('payments.amount') }}, 0) as parts,
        payments.is_attempt and labels.verdict = 'fraud' as is_fraud,
        payments.is_attempt and labels.verdict = 'genuine' as is_genuine,
        date_diff('second', payments.event_time, labels.known_at) as seconds_to_report
    from {{ ref('transactions') }} as payments
    left join {{ ref('labels') }} as labels
        on payments.source = labels.source and payments.transaction_id = labels.transaction_id
    {%- if wanted %}
    where
        payments.event_day between {{ wanted.first_day }} and {{ wanted.last_day }}
        and exists (
            select 1 from {{ wanted.relation }} as wanted
            where wanted.source = payments.source and wanted.event_day = payments.event_day
        )
    {%- endif %}
),

metrics as (
    select
        source,
        event_day,
        count(*) as payments,
        count_if(is_attempt) as attempts,
        count(distinct card_id) as cards,
        count(distinct acceptor_id) as acceptors,
        {{ as_double('coalesce(sum(parts), 0)') }} / 1e4 as amount,
        count_if(is_fraud) as frauds,
        {{ as_double('coalesce(sum(parts) filter (where is_fraud), 0)') }} / 1e4 as fraud_amount,
        count(distinct if(is_fraud, card_id)) as fraud_cards,
        count_if(is_genuine) as genuine_confirmed,
        {{ as_double('count_if(is_fraud)') }} / nullif(count_if(is_attempt), 0) as fraud_share,
        {{ as_double('coalesce(sum(parts) filter (where is_fraud), 0)') }}
        / nullif(sum(parts), 0) as fraud_amount_share,
        {{ as_double('sum(seconds_to_report) filter (where is_fraud)') }}
        / nullif(count_if(is_fraud), 0) / 86400 as mean_days_to_report
    from payments
    group by source, event_day
),

rows_now as (
    select
        *,
        {{ row_tail(['source', 'event_day'] + metrics) }}
    from metrics
)

{{ changed_rows(['source', 'event_day'], 'event_day', wanted) }}
{%- endif %}
