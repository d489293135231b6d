-- Decisions by the day of their payment, so that an old day is dropped and not deleted; money as exact numbers; counts a
-- minute, kept as decisions come; what the sink refused; who works on an alert; verdicts on payments in no alert.

CREATE TABLE refused_decisions (
    topic text NOT NULL,
    kafka_partition integer NOT NULL,
    kafka_offset bigint NOT NULL,
    refused_at timestamptz NOT NULL,
    code text NOT NULL,
    reason text NOT NULL,
    message bytea NOT NULL, -- as it stood on Kafka
    PRIMARY KEY (topic, kafka_partition, kafka_offset)
);

CREATE TABLE decision_counts (
    minute timestamptz NOT NULL, -- of decided_at
    source text NOT NULL,
    action text NOT NULL,
    decided_by text NOT NULL,
    decided bigint NOT NULL,
    degraded bigint NOT NULL,
    unpriced bigint NOT NULL, -- without a rate to the reporting currency
    amount numeric NOT NULL, -- of the others
    PRIMARY KEY (minute, source, action, decided_by)
);
INSERT INTO decision_counts
    SELECT date_trunc('minute', decided_at), source, action, decided_by, count(*), count(*) FILTER (WHERE degraded),
        count(*) FILTER (WHERE amount IS NULL), coalesce(sum(amount::numeric), 0)
    FROM decisions GROUP BY 1, 2, 3, 4;

ALTER TABLE decisions RENAME TO decisions_before;
ALTER INDEX decisions_pkey RENAME TO decisions_before_pkey;
DROP INDEX decisions_by_card, decisions_by_payment, decisions_by_alert, decisions_by_time;

-- The day is the payment's and not the decision's: a payment that is decided again, at another time, is still found in
-- its partition, so that the key holds over all of them.
CREATE TABLE decisions (
    decision_id text NOT NULL,
    source text NOT NULL,
    transaction_id text NOT NULL,
    card_id text NOT NULL,
    event_time timestamptz NOT NULL,
    decided_at timestamptz NOT NULL,
    origin text NOT NULL CHECK (origin IN ('stream', 'api', 'unknown')),
    action text NOT NULL,
    decided_by text NOT NULL,
    score double precision,
    threshold double precision,
    amount numeric, -- in the reporting currency; null: no rate
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    acceptor text,
    mcc text,
    country text,
    entry_mode text,
    latitude double precision,
    longitude double precision,
    degraded boolean NOT NULL,
    model_version text,
    reasons jsonb NOT NULL,
    alert_id bigint,
    verdict text CHECK (verdict IN ('unsure', 'fraud', 'genuine'))
) PARTITION BY RANGE (event_time);
-- What belongs to no day that is kept: payments of alerts and judged ones when their day is over, and stray times.
CREATE TABLE decisions_other PARTITION OF decisions DEFAULT;

CREATE FUNCTION add_decisions_day(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text := to_char(day, '"decisions_"YYYYMMDD');
    first timestamptz := day::timestamp AT TIME ZONE 'UTC';
    past timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    PERFORM pg_advisory_xact_lock(7250003);
    IF to_regclass(name) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE decisions INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    EXECUTE format('WITH moved AS (DELETE FROM decisions_other WHERE event_time >= %L AND event_time < %L RETURNING *)
        INSERT INTO %I SELECT * FROM moved', first, past, name);
    EXECUTE format('ALTER TABLE decisions ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, first, past);
END $$;

CREATE FUNCTION end_decisions_day(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text := to_char(day, '"decisions_"YYYYMMDD');
BEGIN
    PERFORM pg_advisory_xact_lock(7250003);
    IF to_regclass(name) IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('ALTER TABLE decisions DETACH PARTITION %I', name);
    EXECUTE format('INSERT INTO decisions SELECT * FROM %I WHERE alert_id IS NOT NULL OR verdict IS NOT NULL', name);
    EXECUTE format('DROP TABLE %I', name);
END $$;

SELECT add_decisions_day(day) FROM (
    SELECT DISTINCT (event_time AT TIME ZONE 'UTC')::date AS day FROM decisions_before
    WHERE event_time BETWEEN now() - interval '60 days' AND now() + interval '2 days'
) AS days;
INSERT INTO decisions
    SELECT payment_partition || ':' || payment_offset, source, transaction_id, card_id, event_time, decided_at, 'stream',
        action, decided_by, score, threshold, amount::numeric, amount_minor, currency, acceptor, mcc, country,
        entry_mode, latitude, longitude, degraded, model_version, reasons, alert_id, verdict
    FROM decisions_before;
DROP TABLE decisions_before;
ALTER TABLE decisions ADD PRIMARY KEY (event_time, decision_id);
ALTER TABLE decisions ADD FOREIGN KEY (alert_id) REFERENCES alerts;
CREATE INDEX decisions_by_card ON decisions (card_id, event_time DESC);
CREATE INDEX decisions_by_payment ON decisions (transaction_id);
CREATE INDEX decisions_by_acceptor ON decisions (acceptor, event_time DESC) WHERE acceptor IS NOT NULL;
CREATE INDEX decisions_by_alert ON decisions (alert_id) WHERE alert_id IS NOT NULL;

DROP INDEX alerts_queue;
ALTER TABLE alerts
    ALTER COLUMN amount TYPE numeric,
    ALTER COLUMN expected_loss TYPE numeric,
    ADD COLUMN unpriced integer NOT NULL DEFAULT 0, -- payments without a rate, which both sums leave out
    ADD COLUMN source text NOT NULL DEFAULT '', -- with transaction_id and reasons: its costliest payment
    ADD COLUMN transaction_id text NOT NULL DEFAULT '',
    ADD COLUMN reasons jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN assignee text, -- who works on it; null: nobody
    ADD COLUMN assigned_at timestamptz;
UPDATE alerts SET unpriced = found.unpriced, source = found.source, transaction_id = found.transaction_id,
    reasons = found.reasons
FROM (
    SELECT DISTINCT ON (alert_id) alert_id, source, transaction_id, reasons,
        count(*) FILTER (WHERE amount IS NULL) OVER (PARTITION BY alert_id) AS unpriced
    FROM decisions WHERE alert_id IS NOT NULL
    ORDER BY alert_id, coalesce(score, 1)::numeric * amount DESC NULLS FIRST, decided_at, decision_id
) AS found
WHERE alerts.alert_id = found.alert_id;
CREATE INDEX alerts_queue ON alerts (state, (unpriced > 0) DESC, expected_loss DESC, alert_id DESC);
CREATE INDEX alerts_by_opening ON alerts (opened_at);

ALTER TABLE dispositions ALTER COLUMN alert_id DROP NOT NULL; -- null: the payments are in no alert
CREATE INDEX dispositions_by_time ON dispositions (known_at);
