//! Speaks IMAP and SMTP with a bearer token and judges replies; knows no accounts, bus or SQL.
