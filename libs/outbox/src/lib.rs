//! Moves committed outbox rows to the bus, in order per account, with message-id dedupe.
