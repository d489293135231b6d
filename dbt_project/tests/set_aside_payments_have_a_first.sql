-- A repeat says what the payment in Silver says; a conflict says something else; both have one there.
select
    aside.source,
    aside.transaction_id,
    aside.kind
from (
    select
        source,
        transaction_id,
        'repeat' as kind,
        cast(null as varchar) as row_hash
    from {{ ref('transaction_repeats') }}
    union all
    select
        source,
        transaction_id,
        'conflict' as kind,
        row_hash
    from {{ ref('transaction_conflicts') }}
) as aside
left join {{ ref('transactions') }} as payments
    on aside.source = payments.source and aside.transaction_id = payments.transaction_id
where payments.transaction_id is null or payments.row_hash = aside.row_hash
