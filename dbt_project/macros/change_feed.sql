{#- The change data feed (who changed which row, in which version) is on for every incremental table and snapshot, made
    now or long ago. Trino 476 refuses CREATE OR REPLACE on a table that has one, so a full refresh switches it off
    before and on again after: the feed begins anew behind the replacement. One look at the table a run. -#}
{% macro change_feed_before() -%}
    {%- set there = load_cached_relation(this) if has_change_feed() else none -%}
    {%- if there is not none and there.is_table -%}
        {%- do set_change_feed(should_full_refresh() and config.get('materialized') == 'incremental') -%}
    {%- endif -%}
{%- endmacro %}


{% macro change_feed_after() -%}
    {%- if has_change_feed() and is_made_anew() -%}
        {%- do set_change_feed(false) -%}
    {%- endif -%}
{%- endmacro %}


{% macro has_change_feed() -%}
    {{ return(execute and config.get('materialized') in ('incremental', 'snapshot')) }}
{%- endmacro %}


{#- Switches this model's feed on, or off where the table is `replaced` next; a feed that is as wanted stays untouched,
    since to set it makes a version. -#}
{% macro set_change_feed(replaced) -%}
    {%- set properties = this.incorporate(path={'identifier': this.identifier ~ '$properties'}) -%}
    {%- set found = run_query(
        'select count(*) from ' ~ properties ~ " where key = 'delta.enableChangeDataFeed' and value = 'true'"
    ).rows[0][0] -%}
    {%- if (found == 1) == replaced -%}
        {%- do run_query(
            'alter table ' ~ this ~ ' set properties change_data_feed_enabled = ' ~ ('false' if replaced else 'true')
        ) -%}
    {%- endif -%}
{%- endmacro %}
