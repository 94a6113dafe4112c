//! Refreshes every grant before it is needed, once across all replicas.
