//! Rules: functions from plan to plan. They open nothing and measure nothing.
//!
//! | rule | kind | why |
//! |---|---|---|
//! | `checked_arithmetic` | analyser | whole numbers overflow into an error, not into a wrong number |
//! | `doubles_stay` | analyser | a DOUBLE that meets a DECIMAL is not squeezed into one |
//! | `partition_keys` | physical | files that share a Hive key go to one task: no exchange for it |
//! | `unambiguous_filters` | physical | a filter is not pushed to another column of the same name |

pub mod checked_arithmetic;
pub mod doubles_stay;
pub mod partition_keys;
pub mod unambiguous_filters;
