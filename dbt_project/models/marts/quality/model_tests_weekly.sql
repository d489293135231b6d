{{ config(materialized='view') }}

select
    weeks.week,
    runs.model,
    weeks.model_version,
    runs.trained_at,
    weeks.payments,
    weeks.frauds,
    weeks.average_precision,
    weeks.recall,
    weeks.precision
from {{ ref('training_weeks') }} as weeks
inner join {{ ref('training_runs') }} as runs
    on weeks.run_id = runs.run_id
