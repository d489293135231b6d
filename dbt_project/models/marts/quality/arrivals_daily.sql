{{ config(materialized='view') }}

with arrivals as (
    select
        {{ utc_day('ingested_at') }} as arrival_day,
        source,
        1 as payments,
        0 as repeats,
        0 as conflicts
    from {{ ref('transactions') }}
    union all
    select
        {{ utc_day('ingested_at') }},
        source,
        0,
        1,
        0
    from {{ ref('transaction_repeats') }}
    union all
    select
        {{ utc_day('ingested_at') }},
        source,
        0,
        0,
        1
    from {{ ref('transaction_conflicts') }}
)

select
    arrival_day,
    source,
    count(*) as arrivals,
    sum(payments) as payments,
    sum(repeats) as repeats,
    sum(conflicts) as conflicts
from arrivals
group by arrival_day, source
