{%- set seen_days = 31 -%}
{{ config(
    materialized='incremental',
    unique_key=['card_id', 'as_of_day'],
    clustered_by='as_of_day',
    post_hook='{{ drop_wanted() }}'
) }}
{%- set mark = newest('updated_at') %}
{%- set features = [
    'card_tx_count_1d', 'card_tx_count_7d', 'card_tx_count_30d', 'card_avg_amount_1d', 'card_avg_amount_7d',
    'card_avg_amount_30d', 'card_std_amount_30d', 'card_max_amount_30d', 'card_active_days_30d', 'card_night_share_30d',
    'card_distinct_acceptors_30d', 'card_days_since_first_seen',
] %}

{%- set built = "date '" ~ newest_day('as_of_day') ~ "'" if mark else none %}

{#- The (card, day) pairs that a fresh payment reaches, those of days not built yet, and all of a card's pairs when a
    late payment turns out to be its first. -#}
{%- set touched %}
with horizon as (
    {{ horizon() }}
),

seen as (
    {{ paid_days('card_id', built ~ ' - ' ~ days(seen_days)) }}
),

fresh as (
    select distinct
        card_id,
        event_day
    from {{ ref('transactions') }}
    where loaded_at > timestamp '{{ mark }}'
),

-- A first payment of the last days reaches all of its card's pairs anyway.
begun_earlier as (
    select
        card_id,
        first_day
    from {{ ref('cards') }}
    where loaded_at > timestamp '{{ mark }}' and first_day < {{ built }} - {{ days(seen_days) }}
)

select distinct
    card_id,
    as_of_day
from (
    select
        card_id,
        event_day + {{ days(1) }} as from_day,
        event_day + {{ days(seen_days) }} as to_day
    from fresh
    union all
    {{ unbuilt_spans('card_id', seen_days, built) }}
    union all
    select distinct
        paid.card_id,
        paid.event_day + {{ days(1) }} as from_day,
        paid.event_day + {{ days(seen_days) }} as to_day
    from {{ ref('transactions') }} as paid
    inner join begun_earlier on paid.card_id = begun_earlier.card_id
) as spans
cross join horizon
cross join {{ each_day('from_day', 'least(to_day, horizon.last_day)') }}
{%- endset -%}

{%- set wanted = wanted_rows(touched, 'as_of_day') if mark else none -%}
{%- if wanted and wanted.is_empty -%}
select * from {{ this }}
where false
{%- else -%}
with
{%- if not wanted %}
horizon as (
    {{ horizon() }}
),

seen as (
    {{ paid_days('card_id') }}
),
{%- endif %}

wanted as (
    {{ pairs('card_id', wanted, seen_days) }}
),

attempts as (
    select
        card_id,
        acceptor_id,
        event_day,
        is_night,
        if(message_type <> 'verification', amount) as amount,
        if(message_type <> 'verification', {{ ten_thousandths('amount') }}) as parts
    from {{ ref('transactions') }}
    where
        is_attempt
        {%- if wanted %}
        and card_id in (select wanted.card_id from wanted)
        and event_day >= {{ wanted.first_day }} - {{ days(seen_days) }}
        and event_day < {{ wanted.last_day }}
        {%- endif %}
),

-- An acceptor is among a card's last 30 days from the day after a payment to the 30th day after it, or until the next
-- payment there begins the same again: it joins on one day and leaves on another.
visits as (
    select
        card_id,
        event_day + {{ days(1) }} as joins,
        least(
            coalesce(lead(event_day) over (partition by card_id, acceptor_id order by event_day), date '9999-12-31'),
            event_day + {{ days(30) }}
        ) + {{ days(1) }} as leaves
    from attempts
    where acceptor_id is not null
    group by card_id, acceptor_id, event_day
),

by_day as (
    select
        card_id,
        day,
        sum(wanted) as wanted,
        sum(attempts) as attempts,
        sum(amounts) as amounts,
        sum(parts) as parts,
        sum(squares) as squares,
        max(largest) as largest,
        sum(nights) as nights,
        sum(acceptors) as acceptors
    from (
        select
            card_id,
            event_day as day,
            0 as wanted,
            count(*) as attempts,
            count(parts) as amounts,
            sum(parts) as parts,
            sum(parts * parts) as squares,
            max(amount) as largest,
            count_if(is_night and parts is not null) as nights,
            0 as acceptors
        from attempts
        group by card_id, event_day
        union all
        select
            card_id,
            day,
            0,
            0,
            0,
            null,
            null,
            null,
            0,
            acceptors
        from visits
        cross join unnest(array[joins, leaves], array[1, -1]) as steps (day, acceptors)
        union all
        select
            card_id,
            as_of_day,
            1,
            0,
            0,
            null,
            null,
            null,
            0,
            0
        from wanted
    )
    group by card_id, day
),

-- Every frame ends on the day before: a profile never knows its own day.
windows as (
    select
        card_id,
        day as as_of_day,
        wanted,
        coalesce(sum(attempts) over last_1, 0) as attempts_1,
        coalesce(sum(attempts) over last_7, 0) as attempts_7,
        coalesce(sum(attempts) over last_30, 0) as attempts_30,
        coalesce(sum(amounts) over last_1, 0) as amounts_1,
        coalesce(sum(amounts) over last_7, 0) as amounts_7,
        coalesce(sum(amounts) over last_30, 0) as amounts_30,
        sum(parts) over last_1 as parts_1,
        sum(parts) over last_7 as parts_7,
        sum(parts) over last_30 as parts_30,
        sum(squares) over last_30 as squares_30,
        max(largest) over last_30 as largest_30,
        coalesce(sum(nights) over last_30, 0) as nights_30,
        coalesce(sum(if(attempts > 0, 1, 0)) over last_30, 0) as active_days_30,
        sum(acceptors) over (partition by card_id order by day) as acceptors_30
    from by_day
    window
        last_1 as (
            partition by card_id order by day
            range between {{ days(1) }} preceding and {{ days(1) }} preceding
        ),
        last_7 as (
            partition by card_id order by day
            range between {{ days(7) }} preceding and {{ days(1) }} preceding
        ),
        last_30 as (
            partition by card_id order by day
            range between {{ days(30) }} preceding and {{ days(1) }} preceding
        )
),

features as (
    select
        windows.card_id,
        windows.as_of_day,
        {{ as_double('attempts_1') }} as card_tx_count_1d,
        {{ as_double('attempts_7') }} as card_tx_count_7d,
        {{ as_double('attempts_30') }} as card_tx_count_30d,
        {{ as_double('parts_1') }} / nullif(amounts_1, 0) / 1e4 as card_avg_amount_1d,
        {{ as_double('parts_7') }} / nullif(amounts_7, 0) / 1e4 as card_avg_amount_7d,
        {{ as_double('parts_30') }} / nullif(amounts_30, 0) / 1e4 as card_avg_amount_30d,
        -- The numerator is a whole number: no digits cancel, and equal amounts give exactly 0.
        if(
            amounts_30 >= 3,
            sqrt({{ as_double('amounts_30 * squares_30 - parts_30 * parts_30') }} / amounts_30 / (amounts_30 - 1)) / 1e4
        ) as card_std_amount_30d,
        largest_30 as card_max_amount_30d,
        {{ as_double('active_days_30') }} as card_active_days_30d,
        {{ as_double('nights_30') }} / nullif(amounts_30, 0) as card_night_share_30d,
        {{ as_double('acceptors_30') }} as card_distinct_acceptors_30d,
        {{ as_double("date_diff('day', cards.first_day, windows.as_of_day)") }} as card_days_since_first_seen
    from windows
    inner join {{ ref('cards') }} as cards
        on windows.card_id = cards.card_id
    where windows.wanted > 0
),

rows_now as (
    select
        *,
        {{ published('as_of_day') }} as available_at,
        {{ row_tail(['card_id', 'as_of_day'] + features) }}
    from features
)

{{ changed_rows(['card_id', 'as_of_day'], 'as_of_day', wanted) }}
{%- endif %}
