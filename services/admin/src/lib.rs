//! HTTP API and pages for operators.
