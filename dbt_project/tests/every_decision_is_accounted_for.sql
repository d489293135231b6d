-- Each decision in the Bronze that Silver has seen stands in Silver once.
with newest as (
    select max(row(ingested_at, batch_id)) as batch from {{ ref('decisions') }}
),

counts as (
    select
        (
            select
                count(
                    distinct coalesce(
                        arrived.decision_id,
                        cast(arrived.payment_partition as varchar) || ':' || cast(arrived.payment_offset as varchar)
                    )
                )
            from {{ source('bronze', 'decisions') }} as arrived
            where row(arrived.ingested_at, arrived.batch_id) <= newest.batch
        ) as in_bronze,
        (select count(*) from {{ ref('decisions') }}) as in_silver
    from newest
)

select * from counts
where in_bronze <> in_silver
