//! Ids, account and message states, clock: pure values without I/O.
