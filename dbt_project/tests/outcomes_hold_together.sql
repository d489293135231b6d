-- Each payment has one action, one decider and one outcome; only a mature day has rates that rest on verdicts.
select *
from {{ ref('decision_outcomes_daily') }}
where
    approved + alerts <> payments
    or reviews + step_ups + blocks <> alerts
    or by_model + by_rule + by_fallback + by_control <> payments
    or frauds + genuine + open_payments + unknown_blocks <> payments
    or frauds_alerted + frauds_missed <> frauds
    or false_positives + frauds_alerted + unknown_blocks + open_alerts <> alerts
    or good_customers_hurt > false_positives
    or (good_customers_hurt = 0 and false_positives > 0)
    or episodes_detected > least(episodes, payments)
    or episodes > frauds
    or loss > approved_amount
    or (is_mature and open_payments > 0)
    or (not is_mature and coalesce(false_positives_per_fraud, loss_bp, mean_detection_seconds) is not null)
    or (is_mature and event_day >= ({{ first_open_day() }}))
