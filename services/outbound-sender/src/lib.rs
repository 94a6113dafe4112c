//! Sends queued mail by SMTP submission, once.
