{{ config(materialized='ephemeral', access='private', contract={'enforced': false}) }}

select
    acceptor_id,
    merchant_risk_7d,
    merchant_risk_30d,
    mcc_risk_30d
from {{ ref('merchant_risk_daily') }}
where as_of_day = (select max(days.as_of_day) from {{ ref('merchant_risk_daily') }} as days)
