{%- set delay = var('label_delay_days') -%}
{%- set seen_days = 30 + delay + 3 -%}
{{ config(
    materialized='incremental',
    unique_key=['acceptor_id', 'as_of_day'],
    clustered_by='as_of_day',
    post_hook='{{ drop_wanted() }}'
) }}
{%- set mark = newest('updated_at') %}
{%- set risk_days = [1, 7, 30] %}
{%- set features = [
    'merchant_tx_count_1d', 'merchant_tx_count_7d', 'merchant_tx_count_30d', 'merchant_risk_1d', 'merchant_risk_7d',
    'merchant_risk_30d', 'merchant_volume_ratio', 'mcc_risk_30d',
] %}

{%- set built = "date '" ~ newest_day('as_of_day') ~ "'" if mark else none %}

{#- The (acceptor, day) pairs that fresh payments and labels reach, and those of days not built yet. -#}
{%- set touched %}
with horizon as (
    {{ horizon() }}
),

seen as (
    {{ paid_days('acceptor_id', built ~ ' - ' ~ days(seen_days)) }}
),

-- Whom fresh rows reach: a payment its acceptor for as long as it is seen, and its category where counts are due; a
-- label both, on days after it was known.
reached as (
    select distinct
        acceptor_id,
        mcc,
        event_day + {{ days(1) }} as from_day,
        event_day + {{ days(delay + 1) }} as risk_from_day,
        event_day + {{ days(seen_days) }} as to_day,
        event_day + {{ days(delay + 30) }} as risk_to_day
    from {{ ref('transactions') }}
    where loaded_at > timestamp '{{ mark }}'
    union all
    select distinct
        payments.acceptor_id,
        payments.mcc,
        greatest(payments.event_day + {{ days(delay) }}, labels.known_day) + {{ days(1) }} as from_day,
        greatest(payments.event_day + {{ days(delay) }}, labels.known_day) + {{ days(1) }} as risk_from_day,
        payments.event_day + {{ days(delay + 30) }} as to_day,
        payments.event_day + {{ days(delay + 30) }} as risk_to_day
    from {{ ref('label_events') }} as labels
    inner join {{ ref('transactions') }} as payments
        on labels.source = payments.source and labels.transaction_id = payments.transaction_id
    where labels.loaded_at > timestamp '{{ mark }}'
),

reached_categories as (
    select distinct
        reached.mcc,
        days.as_of_day,
        days.as_of_day - {{ days(seen_days) }} as seen_from
    from reached
    cross join horizon
    cross join {{ each_day('risk_from_day', 'least(risk_to_day, horizon.last_day)') }}
    where reached.mcc is not null
)

select distinct
    spans.acceptor_id,
    days.as_of_day
from (
    select
        acceptor_id,
        from_day,
        to_day
    from reached
    where acceptor_id is not null
    union all
    {{ unbuilt_spans('acceptor_id', seen_days, built) }}
) as spans
cross join horizon
cross join {{ each_day('from_day', 'least(to_day, horizon.last_day)') }}
union
-- Acceptors whose category was reached: all that were paid under it while they are seen.
select
    payments.acceptor_id,
    reached_categories.as_of_day
from reached_categories
inner join (
    select distinct
        acceptor_id,
        mcc,
        event_day
    from {{ ref('transactions') }}
    where acceptor_id is not null
) as payments
    on
        reached_categories.mcc = payments.mcc
        and payments.event_day < reached_categories.as_of_day
        and payments.event_day >= reached_categories.seen_from
{%- endset -%}

{%- set wanted = wanted_rows(touched, 'as_of_day') if mark else none -%}
{%- if wanted and wanted.is_empty -%}
select * from {{ this }}
where false
{%- else -%}
with verdicts as (
    {{ known_verdicts() }}
),
{%- if not wanted %}

horizon as (
    {{ horizon() }}
),

seen as (
    {{ paid_days('acceptor_id') }}
),
{%- endif %}

wanted as (
    {{ pairs('acceptor_id', wanted, seen_days) }}
),

payments as (
    select
        source,
        transaction_id,
        acceptor_id,
        mcc,
        event_day,
        event_time,
        is_attempt
    from {{ ref('transactions') }}
    {%- if wanted %}
    where
        event_day >= {{ wanted.first_day }} - {{ days(seen_days) }}
        and event_day < {{ wanted.last_day }}
    {%- endif %}
),

-- A fraud counts in the risk of the days on which it is known and its payment lies in the delayed window.
frauds as (
    select
        payments.acceptor_id,
        payments.mcc,
        windows.risk_days,
        greatest(verdicts.first_day, payments.event_day + {{ days(delay + 1) }}) as joins,
        least(
            verdicts.last_day,
            payments.event_day + {{ days(delay) }} + windows.risk_days * {{ days(1) }}
        ) + {{ days(1) }} as leaves
    from payments
    inner join verdicts
        on payments.source = verdicts.source and payments.transaction_id = verdicts.transaction_id
    cross join unnest(array{{ risk_days }}) as windows (risk_days)
    where payments.is_attempt and verdicts.verdict = 'fraud'
),

fraud_steps as (
    select
        frauds.acceptor_id,
        frauds.mcc,
        frauds.risk_days,
        steps.day,
        steps.frauds
    from frauds
    cross join unnest(array[joins, leaves], array[1, -1]) as steps (day, frauds)
    where frauds.joins < frauds.leaves
),

by_day as (
    select
        acceptor_id,
        day,
        sum(wanted) as wanted,
        sum(attempts) as attempts,
        {%- for w in risk_days %}
        sum(frauds_{{ w }}) as frauds_{{ w }},
        {%- endfor %}
        max(mcc) as mcc
    from (
        select
            acceptor_id,
            event_day as day,
            0 as wanted,
            count_if(is_attempt) as attempts,
            {%- for w in risk_days %}
            0 as frauds_{{ w }},
            {%- endfor %}
            max_by(mcc, row(event_time, transaction_id)) filter (where mcc is not null) as mcc
        from payments
        where acceptor_id is not null
        {%- if wanted %} and acceptor_id in (select wanted.acceptor_id from wanted){% endif %}
        group by acceptor_id, event_day
        union all
        select
            acceptor_id,
            day,
            0,
            0,
            {%- for w in risk_days %}
            if(risk_days = {{ w }}, frauds, 0),
            {%- endfor %}
            null
        from fraud_steps
        where acceptor_id is not null
        {%- if wanted %} and acceptor_id in (select wanted.acceptor_id from wanted){% endif %}
        union all
        select
            acceptor_id,
            as_of_day,
            1,
            0,
            {%- for w in risk_days %}
            0,
            {%- endfor %}
            null
        from wanted
    )
    group by acceptor_id, day
),

-- Every frame ends on the day before, and those of risk as many days earlier as a label takes to come.
acceptors as (
    select
        acceptor_id,
        day as as_of_day,
        wanted,
        last_value(mcc) ignore nulls over seen_before as mcc,
        {%- for w in risk_days %}
        coalesce(sum(attempts) over delayed_{{ w }}, 0) as delayed_{{ w }},
        sum(frauds_{{ w }}) over (partition by acceptor_id order by day) as frauds_{{ w }},
        {%- endfor %}
        coalesce(sum(attempts) over yesterday, 0) as attempts_1,
        coalesce(sum(attempts) over month_before, 0) as attempts_30
    from by_day
    window
        {%- for w in risk_days %}
        delayed_{{ w }} as (
            partition by acceptor_id order by day
            range between {{ days(delay + w) }} preceding and {{ days(delay + 1) }} preceding
        ),
        {%- endfor %}
        seen_before as (
            partition by acceptor_id order by day
            range between {{ days(seen_days) }} preceding and {{ days(1) }} preceding
        ),
        yesterday as (
            partition by acceptor_id order by day
            range between {{ days(1) }} preceding and {{ days(1) }} preceding
        ),
        month_before as (
            partition by acceptor_id order by day
            range between {{ days(30) }} preceding and {{ days(1) }} preceding
        )
),

categories_by_day as (
    select
        mcc,
        day,
        sum(attempts) as attempts,
        sum(frauds) as frauds
    from (
        select
            mcc,
            event_day as day,
            count_if(is_attempt) as attempts,
            0 as frauds
        from payments
        where mcc is not null
        group by mcc, event_day
        union all
        select
            mcc,
            day,
            0,
            frauds
        from fraud_steps
        where mcc is not null and risk_days = 30
        union all
        select
            mcc,
            as_of_day,
            0,
            0
        from acceptors
        where wanted > 0 and mcc is not null
    )
    group by mcc, day
),

categories as (
    select
        mcc,
        day as as_of_day,
        coalesce(sum(attempts) over delayed_30, 0) as delayed_30,
        sum(frauds) over (partition by mcc order by day) as frauds_30
    from categories_by_day
    window
        delayed_30 as (
            partition by mcc order by day
            range between {{ days(delay + 30) }} preceding and {{ days(delay + 1) }} preceding
        )
),

features as (
    select
        acceptors.acceptor_id,
        acceptors.as_of_day,
        {%- for w in risk_days %}
        {{ as_double('acceptors.delayed_' ~ w) }} as merchant_tx_count_{{ w }}d,
        {%- endfor %}
        {%- for w in risk_days %}
        {{ smoothed('acceptors.frauds_' ~ w, 'acceptors.delayed_' ~ w) }} as merchant_risk_{{ w }}d,
        {%- endfor %}
        {{ as_double('acceptors.attempts_1 * 30') }} / nullif(acceptors.attempts_30, 0) as merchant_volume_ratio,
        {{ smoothed('categories.frauds_30', 'categories.delayed_30') }} as mcc_risk_30d
    from acceptors
    left join categories
        on acceptors.mcc = categories.mcc and acceptors.as_of_day = categories.as_of_day
    where acceptors.wanted > 0
),

rows_now as (
    select
        *,
        {{ published('as_of_day') }} as available_at,
        {{ row_tail(['acceptor_id', 'as_of_day'] + features) }}
    from features
)

{{ changed_rows(['acceptor_id', 'as_of_day'], 'as_of_day', wanted) }}
{%- endif %}
