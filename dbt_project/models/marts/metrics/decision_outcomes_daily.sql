{%- set keys = ['source', 'event_day', 'country', 'channel', 'mcc_group', 'card_age', 'amount_band'] -%}
{{ config(
    materialized='incremental',
    unique_key=['source', 'event_day', 'country', 'channel', 'mcc_group', 'card_age', 'amount_band'],
    clustered_by='event_day',
    post_hook='{{ drop_wanted() }}'
) }}
{%- set mark = newest('updated_at') %}
{%- set episode_ms = 24 * 3600 * 1000 %}
{%- set measures = [
    'is_mature', 'payments', 'approved', 'alerts', 'reviews', 'step_ups', 'blocks', 'by_model', 'by_rule',
    'by_fallback', 'by_control', 'approval_rate', 'amount', 'approved_amount', 'open_payments', 'open_alerts',
    'unknown_blocks', 'genuine', 'false_positives', 'good_customers_hurt', 'frauds', 'frauds_alerted',
    'frauds_missed', 'loss', 'false_positive_amount', 'episodes', 'episodes_detected', 'detection_seconds', 'false_positives_per_fraud',
    'loss_bp', 'mean_detection_seconds',
] %}

{#- Days reached by a fresh decision, payment or verdict, the days beside a labelled one (an episode of fraud may cross
    midnight), and those that became mature. -#}
{%- set touched %}
with fresh as (
    select
        source,
        transaction_id,
        event_day
    from {{ ref('decisions') }}
    where loaded_at > timestamp '{{ mark }}'
    union all
    select
        source,
        transaction_id,
        event_day
    from {{ ref('transactions') }}
    where loaded_at > timestamp '{{ mark }}'
    union all
    select
        decisions.source,
        decisions.transaction_id,
        decisions.event_day
    from {{ ref('label_events') }} as labels
    inner join {{ ref('decisions') }} as decisions
        on labels.source = decisions.source and labels.transaction_id = decisions.transaction_id
    where labels.loaded_at > timestamp '{{ mark }}'
),

reached as (
    select
        source,
        event_day
    from fresh
    union
    select
        fresh.source,
        beside.event_day
    from fresh
    inner join {{ ref('label_events') }} as labels
        on fresh.source = labels.source and fresh.transaction_id = labels.transaction_id
    cross join unnest(array[fresh.event_day - {{ days(1) }}, fresh.event_day + {{ days(1) }}]) as beside (event_day)
    union
    select
        stored.source,
        stored.event_day
    from {{ this }} as stored
    cross join ({{ first_open_day() }}) as platform
    where not stored.is_mature and stored.event_day < platform.first_open_day
)

select
    reached.source,
    reached.event_day
from reached
where exists (
    select 1 from {{ ref('decisions') }} as decisions
    where decisions.source = reached.source and decisions.event_day = reached.event_day
)
{%- endset -%}

{%- set wanted = wanted_rows(touched, 'event_day') if mark else none -%}
{%- if wanted and wanted.is_empty -%}
select * from {{ this }}
where false
{%- else -%}
with platform as (
    {{ first_open_day() }}
),

categories as (
    select
        array_agg(
            name
            order by first_code
        ) as names,
        array_agg(
            cast(first_code as double)
            order by first_code
        ) as first_codes
    from {{ ref('mcc_groups') }}
),

-- Each decided fraud, the card's one before it, and the first that was not approved in the 24 hours from it.
frauds as (
    select
        source,
        transaction_id,
        moment,
        lag(moment) over by_card as moment_before,
        min(if(decision <> 'approve', moment)) over (
            partition by source, card_id order by moment
            range between current row and {{ episode_ms - 1 }} following
        ) as detected
    from (
        select
            payments.source,
            payments.transaction_id,
            payments.card_id,
            payments.decision,
            cast(to_unixtime(payments.event_time) * 1000 as bigint) as moment
        from {{ ref('labels') }} as labels
        inner join
            {%- if wanted %}
            {{ decided_payments(wanted.first_day ~ ' - ' ~ days(1), wanted.last_day ~ ' + ' ~ days(1)) }}
            {%- else %}
            {{ decided_payments() }}
            {%- endif %} as payments
            on labels.source = payments.source and labels.transaction_id = payments.transaction_id
        where labels.verdict = 'fraud'
    )
    window by_card as (partition by source, card_id order by moment, transaction_id)
),

episodes as (
    select
        source,
        transaction_id,
        detected - moment as delay_ms
    from frauds
    where moment_before is null or moment - moment_before >= {{ episode_ms }}
),

decided as (
    select
        payments.source,
        payments.event_day,
        payments.card_id,
        payments.amount,
        payments.decision,
        payments.decided_by,
        payments.event_day < platform.first_open_day as is_mature,
        coalesce({{ ten_thousandths('payments.amount') }}, 0) as parts,
        payments.merchant_country,
        payments.card_present,
        element_at(
            categories.names, width_bucket(cast(payments.mcc as double), categories.first_codes)
        ) as category,
        payments.card_status,
        payments.card_days_since_first_seen as card_days,
        case
            when labels.verdict is not null then labels.verdict
            when payments.decision = 'block' then 'unknown'
            when payments.event_day < platform.first_open_day then 'genuine'
            else 'open'
        end as outcome,
        episodes.transaction_id is not null as begins_episode,
        episodes.delay_ms
    from
        {%- if wanted %}
        {{ decided_payments(wanted.first_day, wanted.last_day) }}
        {%- else %}
        {{ decided_payments() }}
        {%- endif %} as payments
    cross join platform
    cross join categories
    left join {{ ref('labels') }} as labels
        on payments.source = labels.source and payments.transaction_id = labels.transaction_id
    left join episodes
        on payments.source = episodes.source and payments.transaction_id = episodes.transaction_id
    {%- if wanted %}
    where
        exists (
            select 1 from {{ wanted.relation }} as wanted
            where wanted.source = payments.source and wanted.event_day = payments.event_day
        )
    {%- endif %}
),

banded as (
    select
        source,
        event_day,
        card_id,
        decision,
        decided_by,
        is_mature,
        parts,
        outcome,
        begins_episode,
        delay_ms,
        coalesce(merchant_country, 'unknown') as country,
        case card_present
            when true then 'card_present'
            when false then 'card_not_present'
            else 'unknown'
        end as channel,
        coalesce(category, 'unknown') as mcc_group,
        case
            when card_status = 'new' then 'new'
            when card_days < 30 then 'under_30_days'
            when card_days < 180 then 'under_180_days'
            when card_days >= 180 then 'older'
            else 'unknown'
        end as card_age,
        case
            when amount < 10 then 'under_10'
            when amount < 50 then '10_to_50'
            when amount < 200 then '50_to_200'
            when amount < 1000 then '200_to_1000'
            when amount >= 1000 then '1000_or_more'
            else 'unknown'
        end as amount_band
    from decided
),

counts as (
    select
        {{ keys | join(',\n        ') }},
        is_mature,
        count(*) as payments,
        count_if(decision = 'approve') as approved,
        count_if(decision <> 'approve') as alerts,
        count_if(decision = 'review') as reviews,
        count_if(decision = 'step_up') as step_ups,
        count_if(decision = 'block') as blocks,
        {%- for name in ['model', 'rule', 'fallback', 'control'] %}
        count_if(decided_by = '{{ name }}') as by_{{ name }},
        {%- endfor %}
        sum(parts) as parts,
        coalesce(sum(parts) filter (where decision = 'approve'), 0) as approved_parts,
        count_if(outcome = 'open') as open_payments,
        count_if(outcome = 'open' and decision <> 'approve') as open_alerts,
        count_if(outcome = 'unknown') as unknown_blocks,
        count_if(outcome = 'genuine') as genuine,
        count_if(outcome = 'genuine' and decision <> 'approve') as false_positives,
        count(distinct if(outcome = 'genuine' and decision <> 'approve', card_id)) as good_customers_hurt,
        count_if(outcome = 'fraud') as frauds,
        count_if(outcome = 'fraud' and decision <> 'approve') as frauds_alerted,
        count_if(outcome = 'fraud' and decision = 'approve') as frauds_missed,
        coalesce(sum(parts) filter (where outcome = 'fraud' and decision = 'approve'), 0) as lost_parts,
        coalesce(sum(parts) filter (where outcome = 'genuine' and decision <> 'approve'), 0) as hurt_parts,
        count_if(begins_episode) as episodes,
        count(delay_ms) as episodes_detected,
        coalesce(sum(delay_ms), 0) as delays_ms
    from banded
    group by {{ keys | join(', ') }}, is_mature
),

metrics as (
    select
        {{ keys | join(',\n        ') }},
        is_mature,
        payments,
        approved,
        alerts,
        reviews,
        step_ups,
        blocks,
        by_model,
        by_rule,
        by_fallback,
        by_control,
        {{ as_double('approved') }} / payments as approval_rate,
        {{ as_double('parts') }} / 1e4 as amount,
        {{ as_double('approved_parts') }} / 1e4 as approved_amount,
        open_payments,
        open_alerts,
        unknown_blocks,
        genuine,
        false_positives,
        good_customers_hurt,
        frauds,
        frauds_alerted,
        frauds_missed,
        {{ as_double('lost_parts') }} / 1e4 as loss,
        {{ as_double('hurt_parts') }} / 1e4 as false_positive_amount,
        episodes,
        episodes_detected,
        {{ as_double('delays_ms') }} / 1e3 as detection_seconds,
        if(is_mature, {{ as_double('false_positives') }} / nullif(frauds_alerted, 0)) as false_positives_per_fraud,
        if(is_mature, {{ as_double('lost_parts') }} * 1e4 / nullif(approved_parts, 0)) as loss_bp,
        if(is_mature, {{ as_double('delays_ms') }} / 1e3 / nullif(episodes_detected, 0)) as mean_detection_seconds
    from counts
),

rows_now as (
    select
        *,
        {{ row_tail(keys + measures) }}
    from metrics
)

{{ changed_rows(keys, 'event_day', wanted) }}
{%- endif %}
