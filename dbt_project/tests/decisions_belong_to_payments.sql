{{ config(severity='warn') }}
-- A decision whose payment is not in Silver waits for it; one that waits for long says that Bronze lost the payment.
with arrivals as (
    select
        source,
        transaction_id,
        source_partition,
        source_offset
    from {{ ref('transactions') }}
    union all
    select
        source,
        transaction_id,
        source_partition,
        source_offset
    from {{ ref('transaction_repeats') }}
    union all
    select
        source,
        transaction_id,
        source_partition,
        source_offset
    from {{ ref('transaction_conflicts') }}
)

select
    decisions.source,
    decisions.transaction_id,
    decisions.payment_partition,
    decisions.payment_offset
from {{ ref('decisions') }} as decisions
left join arrivals
    on
        decisions.payment_partition = arrivals.source_partition
        and decisions.payment_offset = arrivals.source_offset
        and decisions.source = arrivals.source
        and decisions.transaction_id = arrivals.transaction_id
where decisions.payment_offset is not null and arrivals.source_offset is null
