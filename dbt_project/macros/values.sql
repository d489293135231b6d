{#- MD5 over columns in hexadecimal; null and empty text differ, and so do ('ab', 'c') and ('a', 'bc'). -#}
{% macro row_hash(columns) -%}
    lower(to_hex(md5(to_utf8(concat_ws(
        chr(31)
        {%- for column in columns %},
        coalesce(cast({{ column }} as varchar), chr(30))
        {%- endfor %}
    )))))
{%- endmacro %}


{#- Amounts are summed in whole ten-thousandths of the reporting currency: a sum of integers is exact and does not
    depend on the order in which Trino adds, so an unchanged row keeps its hash. -#}
{% macro ten_thousandths(amount) -%}
    cast(round({{ amount }} * 10000) as decimal(18, 0))
{%- endmacro %}


{% macro as_double(number) -%}
    cast({{ number }} as double)
{%- endmacro %}


{#- The order of label events of one payment: the latest known_at wins, at equal time an analyst beats a file, then
    the later arrival wins. lake/point_in_time.py has the same order. -#}
{% macro verdict_order(direction='asc') -%}
    known_at {{ direction }},
    case origin when 'analyst' then 2 when 'file' then 0 else 1 end {{ direction }},
    ingested_at {{ direction }},
    source_partition {{ direction }},
    source_offset {{ direction }}
{%- endmacro %}


{#- The UTC day of a moment. -#}
{% macro utc_day(moment) -%}
    cast({{ moment }} at time zone 'UTC' as date)
{%- endmacro %}


{#- `days` days as an interval literal. -#}
{% macro days(days) -%}
    interval '{{ days }}' day
{%- endmacro %}


{#- A share of frauds among few payments, drawn to the prior: (frauds + weight * p) / (payments + weight). -#}
{% macro smoothed(frauds, payments) -%}
    ({{ frauds }} + {{ var('prior_weight') }} * {{ '%.17e' | format(var('fraud_prior')) }})
    / ({{ as_double(payments) }} + {{ var('prior_weight') }})
{%- endmacro %}


{#- What a payment says, hashed: every field of the record, not where or when it arrived. -#}
{% macro content_hash(relation) -%}
    {%- set fields = [
        'event_time', 'utc_offset_min', 'message_type', 'card_id', 'account_id', 'amount_minor', 'currency',
        'billing_amount_minor', 'billing_currency', 'merchant_id', 'terminal_id', 'mcc', 'merchant_country',
        'card_country', 'latitude', 'longitude', 'entry_mode', 'authentication', 'device_id', 'extra',
    ] -%}
    {%- set columns = [] -%}
    {%- for field in fields -%}{%- do columns.append(relation ~ '.' ~ field) -%}{%- endfor -%}
    {{ row_hash(columns) }}
{%- endmacro %}


{#- The acceptor within its source, as `features.acceptor_id` writes it: a source's own colons are escaped, so that two
    sources never share a name. -#}
{% macro acceptor_id(payment) -%}
    replace(replace({{ payment }}.source, '%', '%25'), ':', '%3A') || ':'
    || coalesce({{ payment }}.merchant_id, {{ payment }}.terminal_id)
{%- endmacro %}
