//! swath.
pub mod error;
pub mod formats;
pub mod notes;
pub mod units;
