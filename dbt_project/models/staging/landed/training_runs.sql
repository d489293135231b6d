{{ config(
    materialized='incremental',
    full_refresh=false
) }}
-- Filled by `python -m lake land` from MLflow; dbt makes the table and never fills it.
select
    cast(null as varchar) as run_id,
    cast(null as varchar) as model,
    cast(null as varchar) as model_version,
    cast(null as timestamp(3) with time zone) as trained_at,
    cast(null as date) as train_from,
    cast(null as date) as train_to,
    cast(null as date) as test_from,
    cast(null as date) as test_to,
    cast(null as bigint) as train_payments,
    cast(null as bigint) as test_payments,
    cast(null as bigint) as test_frauds,
    cast(null as double) as threshold,
    cast(null as double) as average_precision,
    cast(null as double) as best_baseline_average_precision,
    cast(null as double) as recall,
    cast(null as double) as precision,
    cast(null as double) as roc_auc
where false
