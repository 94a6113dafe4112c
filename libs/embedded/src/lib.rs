//! Finds or fetches nats-server and Postgres and runs them as child processes.
