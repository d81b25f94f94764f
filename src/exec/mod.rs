//! Execution: what keeps a running statement within its bounds.

pub mod limits;
pub mod progress;
pub mod stage;
