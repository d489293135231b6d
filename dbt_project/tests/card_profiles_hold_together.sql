-- Shorter windows lie within longer ones, a mean (rounded to four decimals) is no more than the largest, and a card
-- seen today was seen before.
select *
from {{ ref('card_features_daily') }}
where
    card_tx_count_1d > card_tx_count_7d
    or card_tx_count_7d > card_tx_count_30d
    or card_active_days_30d > card_tx_count_30d
    or card_distinct_acceptors_30d > card_tx_count_30d
    or card_avg_amount_30d > card_max_amount_30d + 0.0001
    or card_avg_amount_7d > card_max_amount_30d + 0.0001
    or (card_tx_count_30d = 0 and card_avg_amount_30d is not null)
