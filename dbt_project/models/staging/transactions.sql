{{ config(
    materialized='incremental',
    clustered_by='event_day'
) }}
-- depends_on: {{ ref('transaction_repeats') }} {{ ref('transaction_conflicts') }}
{{ needs_in_same_run(['transaction_repeats', 'transaction_conflicts']) }}
{%- set mark = newest_batch(this if is_incremental() else none) %}

with
{{ sharing_arrivals(mark, none) }},

first_arrivals as (
    select arrivals.*
    from arrivals
    where
        not exists (
            select 1 from sharing
            where sharing.place > 1 and {{ same_arrival('sharing', 'arrivals') }}
        )
        {%- if mark %}
        and not exists (
            select 1 from {{ this }} as stored
            where stored.source = arrivals.source and stored.transaction_id = arrivals.transaction_id
        )
        {%- endif %}
),

rates as (
    select
        currency,
        rate,
        valid_from,
        coalesce(
            lead(valid_from) over (partition by currency order by valid_from), date '9999-12-31'
        ) as valid_to
    from {{ ref('exchange_rates') }}
),

priced as (
    select
        *,
        if(by_bill, billing_currency, currency) as price_currency,
        if(by_bill, billing_amount_minor, amount_minor) as price_minor
    from (
        -- Billed amounts count where they can be converted, else the payment's own.
        select
            first_arrivals.*,
            first_arrivals.billing_amount_minor is not null
            and (
                first_arrivals.billing_currency = '{{ var("reporting_currency") }}' or billed.rate is not null
            ) as by_bill
        from first_arrivals
        left join rates as billed
            on
                first_arrivals.billing_currency = billed.currency
                and first_arrivals.event_day >= billed.valid_from
                and first_arrivals.event_day < billed.valid_to
    )
)

select
    priced.source,
    priced.transaction_id,
    priced.event_time,
    priced.event_day,
    priced.utc_offset_min,
    priced.message_type,
    priced.card_id,
    priced.account_id,
    priced.amount_minor,
    priced.currency,
    priced.billing_amount_minor,
    priced.billing_currency,
    priced.merchant_id,
    priced.terminal_id,
    priced.mcc,
    priced.merchant_country,
    priced.card_country,
    priced.latitude,
    priced.longitude,
    priced.entry_mode,
    priced.authentication,
    priced.device_id,
    priced.extra,
    {{ acceptor_id('priced') }} as acceptor_id,
    case
        when priced.entry_mode in ('chip', 'contactless', 'magstripe') then true
        when priced.entry_mode in ('manual', 'ecommerce', 'credential_on_file', 'moto', 'recurring') then false
    end as card_present,
    -- The formula of rates.py; without a rate in force the amount is missing.
    ({{ as_double('priced.price_minor') }} / power(10e0, currencies.exponent))
    * if(priced.price_currency = '{{ var("reporting_currency") }}', 1e0, rates.rate) as amount,
    priced.message_type not in ('refund', 'reversal') as is_attempt,
    hour(
        priced.event_time at time zone 'UTC' + coalesce(priced.utc_offset_min, 0) * interval '1' minute
    ) < 6 as is_night,
    {{ content_hash('priced') }} as row_hash,
    priced.source_topic,
    priced.source_partition,
    priced.source_offset,
    priced.kafka_timestamp,
    priced.schema_id,
    priced.ingested_at,
    priced.batch_id,
    {{ run_time() }} as loaded_at
from priced
left join {{ ref('currencies') }} as currencies
    on priced.price_currency = currencies.code
left join rates
    on
        priced.price_currency = rates.currency
        and priced.event_day >= rates.valid_from
        and priced.event_day < rates.valid_to
