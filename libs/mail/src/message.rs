//! Building and reading of mails.
