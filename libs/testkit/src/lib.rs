//! Servers, GreenMail, sandbox, manual clock and waiting for tests.
