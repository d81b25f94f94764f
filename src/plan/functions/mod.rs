//! Functions of our own, where DataFusion's would be silently wrong.

pub mod arithmetic;
pub mod double;
pub mod sum;
