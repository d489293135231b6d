{{ config(materialized='view') }}

select
    run_id,
    model,
    model_version,
    trained_at,
    train_from,
    train_to,
    test_from,
    test_to,
    train_payments,
    test_payments,
    test_frauds,
    threshold,
    average_precision,
    best_baseline_average_precision,
    recall,
    precision,
    roc_auc
from {{ ref('training_runs') }}
