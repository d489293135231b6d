{#- A model's schema is its folder's (silver, gold), after an optional prefix that sets a test's or an analyst's own
    copy apart. Names and folders are those of lake/tables.py. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ env_var('DBT_SCHEMA_PREFIX', '') }}{{ custom_schema_name or target.schema }}
{%- endmacro %}


{% macro schema_location(schema) -%}
    {%- set prefix = env_var('DBT_SCHEMA_PREFIX', '') -%}
    {%- set home = 's3://' ~ env_var('S3_BUCKET', 'lake') ~ '/' ~ (schema[prefix | length:]) -%}
    {{ home ~ '/_scratch/' ~ schema if prefix else home }}
{%- endmacro %}


{#- Trino would put a schema without a location into the metastore's own folder. -#}
{% macro trino__create_schema(relation) -%}
    {%- call statement('create_schema') -%}
        create schema if not exists {{ relation.without_identifier() }}
        with (location = '{{ schema_location(relation.schema) }}')
    {% endcall %}
{% endmacro %}


{#- The columns of tables of one schema, as rows of table, column and type: one question for all of them. -#}
{% macro columns_of(database, schema, tables) -%}
    {{ return(run_query(
        'select table_name, column_name, data_type from ' ~ database ~ ".information_schema.columns where table_schema = '"
        ~ schema | lower ~ "' and table_name in ('" ~ tables | join("', '") ~ "')"
    ).rows) }}
{%- endmacro %}
