//! The wire contract: one struct per event or command, envelope, subjects, JSON Schema.
