{#- Refuses to begin when a table of Bronze lacks a column that is described in sources.yml: renamed or lost, every model
    that reads it would fail half way, or be wrong. -#}
{% macro bronze_keeps_its_contracts() -%}
    {%- if execute and flags.WHICH in ('run', 'build', 'retry') -%}
        {%- for source in graph.sources.values() if source.source_name == 'bronze' -%}
            {%- set there = adapter.get_relation(source.database, source.schema, source.identifier) -%}
            {%- if there -%}
                {%- set found = adapter.get_columns_in_relation(there) | map(attribute='name') | list -%}
                {%- set lost = source.columns | reject('in', found) | list -%}
                {%- set others = found | reject('in', source.columns) | list -%}
                {%- if lost -%}
                    {{ exceptions.raise_compiler_error(
                        'contract bronze.' ~ source.name ~ ': column ' ~ lost | join(', ') ~ ' is not there'
                        ~ (', but ' ~ others | join(', ') ~ ' is: renamed?' if others else '.')
                        ~ ' Nothing was written; ask the owner, '
                        ~ var('contracts')['bronze.' ~ source.name].owner ~ '.'
                    ) }}
                {%- endif -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
