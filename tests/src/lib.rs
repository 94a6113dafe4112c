//! Whole-mesh scenarios and the layering rule.
