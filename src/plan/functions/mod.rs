//! Functions of our own: where DataFusion's would be silently wrong, and where it has none.

pub mod arithmetic;
pub mod counted;
pub mod distribution;
pub mod double;
pub mod sum;
pub mod texts;
