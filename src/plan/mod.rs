//! Plans: what a statement means, before anything is read.
//!
//! ```text
//! parse -> refuse (clauses that would be ignored) -> bind (locations become tables)
//!       -> names (spelling) -> DataFusion's planner and optimiser with our rules -> explain
//! ```

pub mod bind;
mod copy;
pub mod dialect;
pub mod estimate;
pub mod explain;
pub mod external;
pub mod functions;
pub mod macros;
pub mod names;
pub mod parse;
pub mod place;
pub mod refuse;
pub mod respell;
pub mod rules;
pub mod shared;
pub mod stage;
pub mod sugar;
pub mod summarize;
pub mod types;
