//! All SQL: migrations, one module per table, outbox; holds only sealed secrets.
