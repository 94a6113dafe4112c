//! Whole-mesh scenarios, and the rule of layers. See `tests/`.
