-- What investigators work on: decisions as far as a timeline and statistics need them, alerts, and their dispositions.

-- Each change of an alert takes the next number, under a lock that its transaction holds to the end: whoever has read
-- up to a number has missed nothing before it.
CREATE SEQUENCE changes AS bigint;
CREATE SEQUENCE alert_ids AS bigint;

CREATE TABLE alerts (
    alert_id bigint PRIMARY KEY,
    card_id text NOT NULL,
    opened_at timestamptz NOT NULL, -- its first payment's event time
    last_at timestamptz NOT NULL, -- its newest payment's
    state text NOT NULL CHECK (state IN ('open', 'unsure', 'fraud', 'genuine')),
    action text NOT NULL, -- the strictest of its payments
    payments integer NOT NULL,
    amount double precision NOT NULL, -- in the reporting currency
    expected_loss double precision NOT NULL, -- score x amount, over its payments
    max_score double precision,
    change bigint NOT NULL
);
CREATE UNIQUE INDEX alerts_by_change ON alerts (change);
CREATE INDEX alerts_by_card ON alerts (card_id, opened_at);
CREATE INDEX alerts_queue ON alerts (state, expected_loss DESC, alert_id DESC);

CREATE TABLE decisions (
    payment_partition integer NOT NULL,
    payment_offset bigint NOT NULL,
    source text NOT NULL,
    transaction_id text NOT NULL,
    card_id text NOT NULL,
    event_time timestamptz NOT NULL,
    decided_at timestamptz NOT NULL,
    action text NOT NULL,
    decided_by text NOT NULL,
    score double precision,
    threshold double precision,
    amount double precision, -- in the reporting currency
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
    alert_id bigint REFERENCES alerts,
    verdict text CHECK (verdict IN ('unsure', 'fraud', 'genuine')),
    PRIMARY KEY (payment_partition, payment_offset)
);
CREATE INDEX decisions_by_card ON decisions (card_id, event_time DESC);
CREATE INDEX decisions_by_payment ON decisions (transaction_id);
CREATE INDEX decisions_by_alert ON decisions (alert_id) WHERE alert_id IS NOT NULL;
CREATE INDEX decisions_by_time ON decisions USING brin (decided_at);

CREATE TABLE dispositions (
    disposition_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id bigint NOT NULL REFERENCES alerts,
    verdict text NOT NULL CHECK (verdict IN ('unsure', 'fraud', 'genuine')),
    by text NOT NULL,
    note text,
    known_at timestamptz NOT NULL,
    payments jsonb NOT NULL, -- [{"source": ..., "transaction_id": ...}]: those it gave this verdict
    sent_at timestamptz -- when Kafka had its labels; null: not yet
);
CREATE INDEX dispositions_by_alert ON dispositions (alert_id);
CREATE INDEX dispositions_by_payment ON dispositions USING gin (payments jsonb_path_ops);
CREATE INDEX dispositions_unsent ON dispositions (known_at) WHERE sent_at IS NULL;
