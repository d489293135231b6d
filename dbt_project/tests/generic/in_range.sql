{#- Every value that is there lies within its column's range, both ends included (null: no bound). NaN lies nowhere.
    One query a model: `ranges` maps columns to [least, most]. -#}
{% test in_range(model, ranges) %}
select
    faults.column_name,
    faults.value
from {{ model }}
cross join unnest(
    array[{% for column in ranges %}'{{ column }}'{% if not loop.last %}, {% endif %}{% endfor %}],
    array[{% for column in ranges %}cast({{ column }} as double){% if not loop.last %}, {% endif %}{% endfor %}],
    array[
        {%- for column, bounds in ranges.items() %}
        not (
            true
            {%- if bounds[0] is not none %} and {{ column }} >= {{ bounds[0] }} {%- endif %}
            {%- if bounds[1] is not none %} and {{ column }} <= {{ bounds[1] }} {%- endif %}
        ){% if not loop.last %},{% endif %}
        {%- endfor %}
    ]
) as faults (column_name, value, is_fault)
where faults.is_fault
{% endtest %}
