//! Execution: the operators of our own, and what keeps a running statement within its bounds.

pub mod all_of;
pub mod fragment;
pub mod group_top;
pub mod groups;
pub mod late_columns;
pub mod limits;
pub mod once;
pub mod padded;
pub mod progress;
pub mod shared;
pub mod stage;
pub mod trial;

/// Aggregates whose state depends on the set of its inputs alone, by the names they go by in plans.
const ORDERLESS: [&str; 19] = [
    "approx_distinct",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "max",
    "min",
    "regr_slope",
    "stddev",
    "stddev_pop",
    "sum",
    "var",
    "var_pop",
];
