//! Seals and opens secrets under rotating keys; types whose Debug shows nothing.
