{{ config(
    materialized='incremental',
    unique_key=['week', 'model_version'],
    clustered_by='week',
    post_hook='{{ drop_wanted() }}'
) }}
{%- set mark = newest('updated_at') %}
{%- set measures = [
    'is_mature', 'decided', 'alerts', 'verdicts', 'frauds', 'frauds_alerted', 'false_positives', 'precision', 'recall',
    'average_precision',
] %}

{#- Weeks of a fresh decision, of a fresh verdict on a decided payment, and those that became mature. -#}
{%- set touched %}
select cast(date_trunc('week', event_day) as date) as week
from {{ ref('decisions') }}
where loaded_at > timestamp '{{ mark }}'
union
select cast(date_trunc('week', decisions.event_day) as date)
from {{ ref('label_events') }} as labels
inner join {{ ref('decisions') }} as decisions
    on labels.source = decisions.source and labels.transaction_id = decisions.transaction_id
where labels.loaded_at > timestamp '{{ mark }}'
union
select stored.week
from {{ this }} as stored
cross join ({{ first_open_day() }}) as platform
where not stored.is_mature and stored.week + {{ days(6) }} < platform.first_open_day
{%- endset -%}

{%- set wanted = wanted_rows(touched, 'week') if mark else none -%}
{%- if wanted and wanted.is_empty -%}
select * from {{ this }}
where false
{%- else -%}
with platform as (
    {{ first_open_day() }}
),

-- A block without a verdict never happened, so nobody can say what it would have been: it is left out of every rate.
decided as (
    select
        cast(date_trunc('week', payments.event_day) as date) as week,
        payments.model_version,
        payments.score,
        payments.decision <> 'approve' as is_alert,
        labels.verdict is not null as has_verdict,
        coalesce(labels.verdict, if(payments.decision = 'block', 'unknown', 'genuine')) as outcome
    from
        {%- if wanted %}
        {{ decided_payments(wanted.first_day, wanted.last_day ~ ' + ' ~ days(6)) }}
        {%- else %}
        {{ decided_payments() }}
        {%- endif %} as payments
    left join {{ ref('labels') }} as labels
        on payments.source = labels.source and payments.transaction_id = labels.transaction_id
    where
        payments.model_version is not null
        and payments.score is not null
        {%- if wanted %}
        and date_trunc('week', payments.event_day) in (select found.week from {{ wanted.relation }} as found)
        {%- endif %}
),

by_score as (
    select
        week,
        model_version,
        count(*) as payments,
        count_if(outcome = 'fraud') as frauds,
        sum(count(*)) over down as payments_so_far,
        sum(count_if(outcome = 'fraud')) over down as frauds_so_far
    from decided
    where outcome <> 'unknown'
    group by week, model_version, score
    window down as (partition by week, model_version order by score desc)
),

-- The mean of the precision at each fraud's own score (scikit-learn's average_precision_score).
ranked as (
    select
        week,
        model_version,
        sum({{ as_double('frauds') }} * frauds_so_far / payments_so_far)
        / nullif({{ as_double('sum(frauds)') }}, 0) as average_precision
    from by_score
    group by week, model_version
),

counts as (
    select
        week,
        model_version,
        count(*) as decided,
        count_if(is_alert) as alerts,
        count_if(has_verdict) as verdicts,
        count_if(outcome = 'fraud') as frauds,
        count_if(outcome = 'fraud' and is_alert) as frauds_alerted,
        count_if(outcome = 'genuine' and is_alert) as false_positives
    from decided
    group by week, model_version
),

metrics as (
    select
        counts.week,
        counts.model_version,
        counts.week + {{ days(6) }} < platform.first_open_day as is_mature,
        counts.decided,
        counts.alerts,
        counts.verdicts,
        counts.frauds,
        counts.frauds_alerted,
        if(counts.week + {{ days(6) }} < platform.first_open_day, counts.false_positives) as false_positives,
        if(
            counts.week + {{ days(6) }} < platform.first_open_day,
            {{ as_double('counts.frauds_alerted') }} / nullif(counts.frauds_alerted + counts.false_positives, 0)
        ) as precision,
        if(
            counts.week + {{ days(6) }} < platform.first_open_day,
            {{ as_double('counts.frauds_alerted') }} / nullif(counts.frauds, 0)
        ) as recall,
        -- Rounded, since the order in which Trino adds is not fixed and an unchanged row must keep its hash.
        if(counts.week + {{ days(6) }} < platform.first_open_day, round(ranked.average_precision, 9))
            as average_precision
    from counts
    cross join platform
    left join ranked
        on counts.week = ranked.week and counts.model_version = ranked.model_version
),

rows_now as (
    select
        *,
        {{ row_tail(['week', 'model_version'] + measures) }}
    from metrics
)

{{ changed_rows(['week', 'model_version'], 'week', wanted) }}
{%- endif %}
