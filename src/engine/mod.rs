//! The public library: [`Engine`], [`Session`], [`Answer`].
//!
//! ```text
//! Engine (runtime, limits) -> Session (tables, views, what was learned) -> Statement
//!        -> AnswerStream (batches as they come) -> Answer (all of them)
//! ```

mod answer;
mod clock;
mod copy;
#[expect(clippy::module_inception, reason = "the type Engine is the module's main noun")]
mod engine;
mod insert;
mod params;
mod planning;
mod remote;
mod running;
mod session;
mod settings;
mod watch;

pub use self::answer::{Answer, AnswerKind, AnswerStream, Handle};
pub use self::engine::{Engine, EngineBuilder};
pub use self::params::{Param, Params};
pub use self::session::{Session, Statement};
pub use self::watch::Watch;
