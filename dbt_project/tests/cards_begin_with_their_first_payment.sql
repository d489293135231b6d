-- Each card that paid is among the cards, with the day of its first payment.
select
    coalesce(paid.card_id, cards.card_id) as card_id,
    paid.first_day,
    cards.first_day as said
from (
    select
        card_id,
        min(event_day) as first_day
    from {{ ref('transactions') }}
    where loaded_at <= (select max(known.updated_at) from {{ ref('card_features_daily') }} as known)
    group by card_id
) as paid
full join {{ ref('cards') }} as cards on paid.card_id = cards.card_id
where paid.first_day is distinct from cards.first_day
