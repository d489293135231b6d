{{ config(materialized='view') }}

select cast(days.day as date) as day
from unnest(sequence(date '2015-01-01', date '2039-12-31', interval '1' day)) as days (day)
