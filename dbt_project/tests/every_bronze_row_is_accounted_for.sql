-- Each Bronze payment that Silver has seen is one row of Silver, of its repeats or of its conflicts. A topic that was
-- made anew has another payment at the same offset.
with accounted as (
    select
        source,
        transaction_id,
        source_topic,
        source_partition,
        source_offset,
        ingested_at,
        batch_id
    from {{ ref('transactions') }}
    union all
    select
        source,
        transaction_id,
        source_topic,
        source_partition,
        source_offset,
        ingested_at,
        batch_id
    from {{ ref('transaction_repeats') }}
    union all
    select
        source,
        transaction_id,
        source_topic,
        source_partition,
        source_offset,
        ingested_at,
        batch_id
    from {{ ref('transaction_conflicts') }}
),

newest as (
    select max(row(ingested_at, batch_id)) as batch from {{ ref('transactions') }}
),

counts as (
    select
        (
            select count(*) from {{ source('bronze', 'transactions') }} as arrived
            where row(arrived.ingested_at, arrived.batch_id) <= newest.batch
        ) as in_bronze,
        (
            select count(*) from accounted
            where row(accounted.ingested_at, accounted.batch_id) <= newest.batch
        ) as in_silver,
        (
            select count(distinct row(source_topic, source_partition, source_offset, source, transaction_id))
            from accounted
            where row(accounted.ingested_at, accounted.batch_id) <= newest.batch
        ) as offsets
    from newest
)

select * from counts
where in_bronze <> in_silver or in_silver <> offsets
