//! Watching: a statement that answers again whenever its files change.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use super::answer::{Answer, Handle};
use super::params::Params;
use super::session::{Session, Statement};
use crate::dataset::location;
use crate::error::{ErrorKind, Result};

/// How long a stop may go unnoticed.
const PATIENCE: Duration = Duration::from_millis(50);

/// The answers of a statement, one now and one after each change of its files.
///
/// It is an iterator that waits; it ends when its handle is cancelled, or after an error. With
/// [`super::EngineBuilder::reuse`] only files that are new or changed are read.
#[derive(Debug)]
pub struct Watch {
    session: Session,
    statement: Statement,
    params: Params,
    every: Duration,
    handle: Handle,
    /// What the files were when the last answer was begun.
    seen: Option<u64>,
    failed: bool,
}

impl Watch {
    pub(super) fn new(
        session: Session,
        statement: Statement,
        params: Params,
        every: Duration,
        handle: Handle,
    ) -> Self {
        Watch { session, statement, params, every, handle, seen: None, failed: false }
    }

    fn next_answer(&mut self) -> Result<Option<Answer>> {
        loop {
            if self.handle.is_cancelled() {
                return Ok(None);
            }
            let now = self.state()?;
            if self.seen != Some(now) {
                let answer = self
                    .session
                    .run(&self.statement, &self.params, &self.handle)
                    .and_then(super::AnswerStream::collect_all);
                match answer {
                    Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(None),
                    // A file that is still being written will be whole one day.
                    Err(error) if error.kind() == ErrorKind::Data && self.state()? != now => {}
                    Err(error) => return Err(error),
                    Ok(answer) => {
                        self.seen = Some(now);
                        return Ok(Some(answer));
                    }
                }
            }
            self.rest();
        }
    }

    /// Waits until the next look, unless someone asks for a stop.
    fn rest(&self) {
        let until = Instant::now() + self.every;
        while !self.handle.is_cancelled() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(PATIENCE));
        }
    }

    /// Which files there are, and in which state.
    fn state(&self) -> Result<u64> {
        let mut hasher = DefaultHasher::new();
        for source in self.session.sources(&self.statement, &self.params)? {
            // That nothing is there is a state too.
            let listing = location::list(&source.locations, self.session.places());
            for file in listing.iter().flat_map(|listing| &listing.files) {
                (&file.name, file.identity).hash(&mut hasher);
            }
        }
        Ok(hasher.finish())
    }
}

impl Iterator for Watch {
    type Item = Result<Answer>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let answer = self.next_answer().transpose();
        self.failed = matches!(answer, Some(Err(_)));
        answer
    }
}
