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
    /// When it was started; None while it stands still.
    since: watch::Sender<Option<Instant>>,
    limit: Duration,
    cancel: Handle,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl Clock {
    pub(super) fn new(limit: Duration, cancel: Handle) -> Self {
        Clock(Arc::new(State { since: watch::Sender::new(None), limit, cancel }))
    }

    /// Lets it run until the guard is dropped.
    pub(super) fn run(&self) -> Running<'_> {
        self.0.since.send_replace(Some(Instant::now()));
        Running(self)
    }

    /// Lets it stand still until the guard is dropped, if it runs.
    pub(super) fn pause(&self) -> Paused<'_> {
        Paused(self, self.0.since.send_replace(None).is_some())
    }

    /// Fails when the time is up, or the user wants no more.
    pub(super) fn check(&self) -> Result<()> {
        let is_over = self.0.since.borrow().is_some_and(|since| since.elapsed() > self.0.limit);
        match (self.0.cancel.is_cancelled(), is_over) {
            (true, _) => Err(Error::new(ErrorKind::Interrupted, "interrupted")),
            (_, true) => Err(self.overdue()),
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
        let mut since = self.0.since.subscribe();
        let too_late = async {
            loop {
                let started = *since.borrow_and_update();
                let time_is_up = async {
                    match started {
                        Some(started) => tokio::time::sleep_until(started + self.0.limit).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = time_is_up => return,
                    changed = since.changed() => if changed.is_err() {
                        std::future::pending::<()>().await;
                    },
                }
            }
        };
        let interrupted = async {
            self.0.cancel.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            () = too_late => self.overdue(),
            () = interrupted => Error::new(ErrorKind::Interrupted, "interrupted"),
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
        self.0.0.since.send_replace(None);
    }
}

/// Lets a clock go on when dropped.
pub(super) struct Paused<'a>(&'a Clock, bool);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        if self.1 {
            self.0.0.since.send_replace(Some(Instant::now()));
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
