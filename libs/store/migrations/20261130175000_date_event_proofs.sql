-- From this release on, the events of the services carry a proof, which is asked for when they are read back. Those that an
-- earlier release has published have none: they count if the stream stored them before this moment. A day is left for the
-- replicas of that release that still run; a mesh without accounts has published nothing.

CREATE TABLE event_proofs (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    demanded_from timestamptz NOT NULL
);

INSERT INTO event_proofs (demanded_from)
SELECT CASE WHEN EXISTS (SELECT FROM accounts) THEN now() + interval '1 day' ELSE timestamptz '2000-01-01 00:00:00Z' END;
