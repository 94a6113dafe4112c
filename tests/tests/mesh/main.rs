//! Whole-mesh scenarios: the real binary, one process a service.

mod api_key;
