-- Shorter windows lie within longer ones, and risk without payments is the prior.
select *
from {{ ref('merchant_risk_daily') }}
where
    merchant_tx_count_1d > merchant_tx_count_7d
    or merchant_tx_count_7d > merchant_tx_count_30d
    or (merchant_tx_count_1d = 0 and abs(merchant_risk_1d - {{ var('fraud_prior') }}) > 1e-12)
    or (merchant_tx_count_7d = 0 and abs(merchant_risk_7d - {{ var('fraud_prior') }}) > 1e-12)
    or (merchant_tx_count_30d = 0 and abs(merchant_risk_30d - {{ var('fraud_prior') }}) > 1e-12)
