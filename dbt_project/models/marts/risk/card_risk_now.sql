{{ config(materialized='ephemeral', access='private', contract={'enforced': false}) }}
-- A card that has not paid for 30 days is at no risk that these columns would show.
select
    cards.card_id,
    max_by(cards.known_frauds_7d, cards.event_day) as known_frauds_7d,
    max_by(cards.known_frauds_30d, cards.event_day) as known_frauds_30d,
    max_by(cards.amount_at_risk, cards.event_day) as amount_at_risk
from {{ ref('card_risk_daily') }} as cards
where cards.event_day > (select max(days.event_day) from {{ ref('card_risk_daily') }} as days) - {{ days(30) }}
group by cards.card_id
