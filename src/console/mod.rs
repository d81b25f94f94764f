//! The console: what one-shot and shell share of the terminal.
//!
//! Running a statement under Ctrl-C, writing its answer, saying on stderr how it went. What the
//! terminal is like comes from `cli`.

pub mod about;
mod bar;
pub mod chart;
mod excerpt;
mod interrupt;
mod job;
mod kept;
mod pager;
mod report;
mod stage_page;
mod watch;

pub use self::bar::ProgressForm;
pub use self::interrupt::{Interrupt, next_stop};
pub use self::job::{Destination, Failure, Job, Ran, show_rows};
pub use self::kept::Kept;
pub use self::pager::{Screen, shell_command, terminal_width};
pub use self::report::Report;
pub use self::watch::watch;

use crate::engine::Params;
use crate::output::{Format, TableOptions};

/// What flags and terminal say about showing answers.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How things are said on stderr.
    pub report: Report,
    /// How tables look.
    pub table: TableOptions,
    /// The format that was asked for.
    pub format: Option<Format>,
    /// Bound parameters.
    pub params: Params,
}
