{{ config(materialized='view') }}

select
    acceptor_id,
    as_of_day,
    cast(merchant_tx_count_30d as bigint) as payments_30d,
    merchant_risk_30d as risk_30d
from {{ ref('merchant_risk_daily') }}
where as_of_day = (select max(newest.as_of_day) from {{ ref('merchant_risk_daily') }} as newest)
