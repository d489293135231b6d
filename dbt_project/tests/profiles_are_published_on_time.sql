-- A profile stands at available_at = its midnight + the publish delay, and never describes a day not over by then.
with horizon as (
    {{ horizon() }}
),

profiles as (
    select
        card_id as entity,
        as_of_day,
        available_at
    from {{ ref('card_features_daily') }}
    union all
    select
        acceptor_id as entity,
        as_of_day,
        available_at
    from {{ ref('merchant_risk_daily') }}
)

select profiles.*
from profiles
cross join horizon
where
    profiles.available_at <> {{ published('profiles.as_of_day') }}
    or profiles.as_of_day > horizon.last_day
