{{ config(materialized='view') }}

select
    source,
    transaction_id,
    verdict,
    known_at,
    origin,
    decided_by,
    note,
    events
from (
    select
        *,
        count(*) over (partition by source, transaction_id) as events,
        row_number() over (
            partition by source, transaction_id
            order by
                {{ verdict_order('desc') }}
        ) as place
    from {{ ref('label_events') }}
)
where place = 1
