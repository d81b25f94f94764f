//! Execution: what keeps a running statement within its bounds.

pub mod limits;
