//! Execution: the operators of our own, and what keeps a running statement within its bounds.

pub mod all_of;
pub mod fragment;
pub mod group_top;
pub mod groups;
pub mod limits;
pub mod progress;
pub mod shared;
pub mod stage;
pub mod trial;
