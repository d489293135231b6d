{{ config(
    materialized='incremental',
    full_refresh=false
) }}
-- Filled by `python -m lake land` from MLflow; dbt makes the table and never fills it.
select
    cast(null as varchar) as run_id,
    cast(null as varchar) as model_version,
    cast(null as date) as week,
    cast(null as bigint) as payments,
    cast(null as bigint) as frauds,
    cast(null as double) as average_precision,
    cast(null as double) as recall,
    cast(null as double) as precision
where false
