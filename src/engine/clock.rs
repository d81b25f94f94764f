//! The time that planning may take.
//!
//! Planning computes without a pause: a statement of thousands of joins keeps a thread for minutes.
//! So it runs where other tasks need not wait for it, and rules between those of the optimizer stop
//! it when its time is up or the user has lost patience; who waits for the statement hears at once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::Result as DataFusionResult;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{AnalyzerRule, OptimizerConfig, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use tokio::sync::watch;
use tokio::time::Instant;

use super::answer::Handle;
use super::running::interrupted;
use crate::error::{Error, ErrorKind, Result};
use crate::units::show_seconds;

/// How long planning may take unless the session says otherwise; debug builds are slower.
pub(super) const LIMIT_DEFAULT: Duration =
    Duration::from_millis(if cfg!(debug_assertions) { 30_000 } else { 1_900 });
/// What is asked to stop and can, does so in this time.
const GRACE: Duration = Duration::from_millis(100);

/// Runs while a statement is planned, and stands still while files are opened.
#[derive(Clone)]
pub(super) struct Clock(Arc<State>);

struct State {
    hand: watch::Sender<Hand>,
    limit: Duration,
    cancel: Handle,
}

/// What the clock does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hand {
    Still,
    Since(Instant),
    /// The statement was given up: it must not do anything any more, however late it is planned.
    GivenUp,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl Clock {
    pub(super) fn new(limit: Duration, cancel: Handle) -> Self {
        Clock(Arc::new(State { hand: watch::Sender::new(Hand::Still), limit, cancel }))
    }

    /// Lets it run until the guard is dropped.
    pub(super) fn run(&self) -> Running<'_> {
        self.turn(Hand::Since(Instant::now()));
        Running(self)
    }

    /// Moves the hand, unless the statement was given up; says where it stood.
    fn turn(&self, to: Hand) -> Hand {
        let mut before = Hand::GivenUp;
        self.0.hand.send_if_modified(|hand| {
            before = *hand;
            let moves = before != Hand::GivenUp;
            if moves {
                *hand = to;
            }
            moves
        });
        before
    }

    /// Lets it stand still until the guard is dropped, if it runs.
    pub(super) fn pause(&self) -> Paused<'_> {
        Paused(self, matches!(self.turn(Hand::Still), Hand::Since(_)))
    }

    /// Fails when the time is up, the statement was given up, or the user wants no more.
    pub(super) fn check(&self) -> Result<()> {
        if self.0.cancel.is_cancelled() {
            return Err(interrupted());
        }
        match *self.0.hand.borrow() {
            Hand::GivenUp => Err(self.overdue()),
            Hand::Since(since) if since.elapsed() > self.0.limit => Err(self.overdue()),
            _ => Ok(()),
        }
    }

    fn overdue(&self) -> Error {
        let limit = show_seconds(self.0.limit);
        Error::new(ErrorKind::Limit, format!("the statement is too large to plan it in {limit}"))
            .hint("make it smaller, or give it more time: SET swath.planning_limit = '1min'")
    }

    /// Waits until planning has taken too long, or does not stop although it was asked to.
    pub(super) async fn given_up(&self) -> Error {
        let mut hand = self.0.hand.subscribe();
        let too_late = async {
            loop {
                let seen = *hand.borrow_and_update();
                let Hand::Since(started) = seen else {
                    // This clock holds the sender: it is never closed.
                    let _ = hand.changed().await;
                    continue;
                };
                tokio::select! {
                    () = tokio::time::sleep_until(started + self.0.limit) => {}
                    _ = hand.changed() => continue,
                }
                let is_late = self.0.hand.send_if_modified(|hand| {
                    let is_late = *hand == seen;
                    if is_late {
                        *hand = Hand::GivenUp;
                    }
                    is_late
                });
                if is_late {
                    return;
                }
            }
        };
        let no_more_wanted = async {
            self.0.cancel.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            () = too_late => self.overdue(),
            () = no_more_wanted => interrupted(),
        }
    }

    /// The same state with this clock looked at before each rule.
    pub(super) fn watch(&self, state: SessionState) -> SessionState {
        let analyzer = between(&state.analyzer().rules, || Arc::new(self.clone()) as _);
        let optimizer = between(state.optimizers(), || Arc::new(self.clone()) as _);
        let physical = between(state.physical_optimizers(), || Arc::new(self.clone()) as _);
        SessionStateBuilder::new_from_existing(state)
            .with_analyzer_rules(analyzer)
            .with_optimizer_rules(optimizer)
            .with_physical_optimizer_rules(physical)
            .build()
    }
}

fn between<T: ?Sized>(rules: &[Arc<T>], look: impl Fn() -> Arc<T>) -> Vec<Arc<T>> {
    rules.iter().flat_map(|rule| [look(), Arc::clone(rule)]).collect()
}

/// Stops a clock when dropped.
pub(super) struct Running<'a>(&'a Clock);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.turn(Hand::Still);
    }
}

/// Lets a clock go on when dropped.
pub(super) struct Paused<'a>(&'a Clock, bool);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        if self.1 {
            self.0.turn(Hand::Since(Instant::now()));
        }
    }
}

impl AnalyzerRule for Clock {
    fn name(&self) -> &str {
        "clock"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> DataFusionResult<LogicalPlan> {
        self.check().map(|()| plan).map_err(DataFusionError::from)
    }
}

impl OptimizerRule for Clock {
    fn name(&self) -> &str {
        "clock"
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> DataFusionResult<Transformed<LogicalPlan>> {
        self.check().map(|()| Transformed::no(plan)).map_err(DataFusionError::from)
    }
}

impl PhysicalOptimizerRule for Clock {
    fn name(&self) -> &str {
        "clock"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        self.check().map(|()| plan).map_err(DataFusionError::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(work)
    }

    /// Whoever was told that a statement is too large must not find its file later.
    #[test]
    fn what_was_given_up_does_nothing_any_more() {
        let clock = Clock::new(Duration::ZERO, Handle::default());
        let running = clock.run();
        assert_eq!(wait(clock.given_up()).kind(), ErrorKind::Limit);
        drop(running);
        assert_eq!(clock.check().expect_err("given up").kind(), ErrorKind::Limit);
        drop(clock.run());
        assert_eq!(clock.check().expect_err("for good").kind(), ErrorKind::Limit);
    }

    #[test]
    fn opening_files_does_not_count() {
        let clock = Clock::new(Duration::from_secs(3600), Handle::default());
        let running = clock.run();
        let paused = clock.pause();
        assert_eq!(*clock.0.hand.borrow(), Hand::Still);
        drop(paused);
        assert!(matches!(*clock.0.hand.borrow(), Hand::Since(_)));
        drop(running);
        drop(clock.pause());
        assert_eq!(*clock.0.hand.borrow(), Hand::Still);
        assert!(clock.check().is_ok());
    }
}
