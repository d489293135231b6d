-- Card risk: a card has at most as many known frauds as payments, more in 30 days than in 7, and an amount at risk
-- only when one of its payments is a known fraud.
select *
from {{ ref('card_risk_daily') }}
where
    known_frauds_7d > known_frauds_30d
    or amount_at_risk > unreported_amount_30d
    or (known_frauds_30d = 0 and amount_at_risk <> 0)
