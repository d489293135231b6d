{#- Refuses to begin when a table of Bronze lacks a column that is described in sources.yml: renamed or lost, every model
    that reads it would fail half way, or be wrong. -#}
{% macro bronze_keeps_its_contracts() -%}
    {%- if execute and flags.WHICH in ('run', 'build', 'retry') -%}
        {%- set bronze = graph.sources.values() | selectattr('source_name', 'equalto', 'bronze') | list -%}
        {%- set rows = columns_of(bronze[0].database, bronze[0].schema, bronze | map(attribute='identifier')) -%}
        {%- for source in bronze -%}
            {%- set found = [] -%}
            {%- for table, column, _ in rows if table == source.identifier -%}{%- do found.append(column) -%}{%- endfor -%}
            {%- set lost = source.columns | reject('in', found) | list -%}
            {%- set others = found | reject('in', source.columns) | list -%}
            {#- Trino leaves a table out whose log it cannot read: that is not one that has yet to come. -#}
            {%- if lost and (found or adapter.get_relation(source.database, source.schema, source.identifier)) -%}
                {{ exceptions.raise_compiler_error(
                    'contract bronze.' ~ source.name ~ ': column ' ~ lost | join(', ') ~ ' is not there'
                    ~ (', but ' ~ others | join(', ') ~ ' is: renamed?' if others else '.')
                    ~ ' Nothing was written; ask the owner, ' ~ var('contracts')['bronze.' ~ source.name].owner ~ '.'
                ) }}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
