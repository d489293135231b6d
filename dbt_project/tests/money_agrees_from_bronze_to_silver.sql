-- Every minor unit of every currency that Bronze holds is that of a payment, of its repeat or of a conflict.
with newest as (
    select max(row(ingested_at, batch_id)) as batch from {{ ref('transactions') }}
),

arrived as (
    select
        currency,
        sum(amount_minor) as amount_minor
    from {{ source('bronze', 'transactions') }}
    where row(ingested_at, batch_id) <= (select newest.batch from newest)
    group by currency
),

kept as (
    select
        currency,
        sum(amount_minor) as amount_minor
    from (
        select
            currency,
            amount_minor
        from {{ ref('transactions') }}
        union all
        select
            payments.currency,
            payments.amount_minor
        from {{ ref('transaction_repeats') }} as repeats
        inner join {{ ref('transactions') }} as payments
            on repeats.source = payments.source and repeats.transaction_id = payments.transaction_id
        where row(repeats.ingested_at, repeats.batch_id) <= (select newest.batch from newest)
        union all
        select
            currency,
            amount_minor
        from {{ ref('transaction_conflicts') }}
        where row(ingested_at, batch_id) <= (select newest.batch from newest)
    )
    group by currency
)

select
    coalesce(arrived.currency, kept.currency) as currency,
    arrived.amount_minor,
    kept.amount_minor as in_silver
from arrived
full join kept on arrived.currency = kept.currency
where arrived.amount_minor is distinct from kept.amount_minor
