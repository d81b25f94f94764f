//! swath: SQL over directories of CSV, Parquet, JSON and Arrow files.
//!
//! Answers are right or errors, and what was guessed on the way is said in the notes.
//!
//! ```
//! # fn main() -> swath::Result<()> {
//! let engine = swath::Engine::open()?;
//! let answer = engine.query("SELECT sum(value) AS total FROM 'queries/seeds/pairs.csv'")?;
//! println!("{answer}");
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "cluster")]
pub mod cluster;
pub mod dataset;
pub mod engine;
pub mod error;
pub mod exec;
pub mod formats;
pub mod notes;
pub mod objects;
pub mod output;
pub mod plan;
pub mod roots;
pub mod sql_type;
pub mod store;
pub mod units;

#[cfg(feature = "shell")]
pub mod cli;
#[cfg(feature = "shell")]
pub mod console;
#[cfg(feature = "shell")]
pub mod shell;

pub use engine::{
    Answer, AnswerKind, AnswerStream, Engine, EngineBuilder, Handle, Param, Params, Session,
    Statement, Watch,
};
pub use error::{Error, ErrorKind, Place, Result};
pub use notes::{Note, NoteKind, Notes};
