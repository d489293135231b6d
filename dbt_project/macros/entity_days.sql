{#- Every day from `first` to `last`, both included; none when `last` comes before. -#}
{% macro each_day(first, last) -%}
unnest(if({{ first }} <= {{ last }}, sequence({{ first }}, {{ last }}, interval '1' day))) as days (as_of_day)
{%- endmacro %}


{#- Each entity's days with payments, with the next such day; of those from the day `first` on. -#}
{% macro paid_days(entity, first=none) -%}
    select
        {{ entity }},
        event_day,
        lead(event_day) over (partition by {{ entity }} order by event_day) as next_day
    from {{ ref('transactions') }}
    where {{ entity }} is not null {%- if first %} and event_day >= {{ first }}{% endif %}
    group by {{ entity }}, event_day
{%- endmacro %}


{#- The last day that a day with payments (a row of the CTE `seen`) gives a profile: `seen_days` later, or the next
    such day, which begins the same again. -#}
{% macro seen_until(seen_days) -%}
least(seen.event_day + {{ days(seen_days) }}, coalesce(seen.next_day, date '9999-12-31'))
{%- endmacro %}


{#- The spans of days not built yet, those after the day `built`, of the entities still seen on them; over the CTE
    `seen`. -#}
{% macro unbuilt_spans(entity, seen_days, built) -%}
    select
        seen.{{ entity }},
        greatest(seen.event_day, {{ built }}) + {{ days(1) }} as from_day,
        {{ seen_until(seen_days) }} as to_day
    from seen
    where seen.event_day > {{ built }} - {{ days(seen_days) }}
{%- endmacro %}


{#- The (entity, day) pairs to make: those found wanted, or in a full run all on which an entity is seen; over the CTEs
    `seen` and `horizon`. -#}
{% macro pairs(entity, wanted, seen_days) -%}
    {%- if wanted %}
    select
        {{ entity }},
        as_of_day
    from {{ wanted.relation }}
    {%- else %}
    select
        seen.{{ entity }},
        days.as_of_day
    from seen
    cross join horizon
    cross join {{ each_day(
        'seen.event_day + ' ~ days(1), 'least(' ~ seen_until(seen_days) ~ ', horizon.last_day)'
    ) }}
    {%- endif %}
{%- endmacro %}


{#- Closes a mart with key `keys`, `day` among them: of the CTE `rows_now`, what is new or differs by its hash from what
    stands; in a full run, all. -#}
{% macro changed_rows(keys, day, wanted) -%}
select rows_now.*
from rows_now
{%- if wanted %}
left join (
    select
        {{ keys | join(',\n        ') }},
        row_hash
    from {{ this }}
    where {{ day }} between {{ wanted.first_day }} and {{ wanted.last_day }}
) as stored
    on
        {%- for key in keys %}
        {{ 'and ' if not loop.first }}rows_now.{{ key }} = stored.{{ key }}
        {%- endfor %}
where stored.row_hash is distinct from rows_now.row_hash
{%- endif %}
{%- endmacro %}
