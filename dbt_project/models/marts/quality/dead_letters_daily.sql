{{ config(materialized='view') }}

-- A letter may come twice for one record: the first counts. A producer's letter has no place and is one by itself.
with firsts as (
    select
        letter_day,
        stage,
        code,
        coalesce(source_topic, 'none') as source_topic,
        row_number() over (
            partition by
                source_topic, source_partition, source_offset,
                if(source_offset is null, letter_partition), if(source_offset is null, letter_offset)
            order by letter_time, letter_partition, letter_offset
        ) as place
    from {{ ref('dead_letters') }}
)

select
    letter_day,
    stage,
    code,
    source_topic,
    count(*) as letters
from firsts
where place = 1
group by letter_day, stage, code, source_topic
