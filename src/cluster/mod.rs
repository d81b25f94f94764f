//! The same statement on a cluster: Apache Ballista, with our files, functions, notes and errors.
//!
//! ```text
//! client     plan of this session -> distribute -> codec -> job of the scheduler -> rows
//! scheduler  Ballista's: stages, tasks, retries; and our service (members, progress)
//! executor   Ballista's: scans are opened here, files must be those that the client saw
//! ```
//!
//! Everything up to the physical plan happens in the session, as it does without a cluster: locations,
//! schema, guesses, pruning, places of errors. Only this module names Ballista.

mod audit;
mod client;
mod codec;
mod distribute;
mod executor;
mod explain;
mod functions;
mod jobs;
mod operator;
mod roles;
mod scan;
mod service;
mod verify;

use std::sync::Arc;

use ballista_core::serde::protobuf::KeyValuePair;
use datafusion::config::ConfigOptions;
use datafusion::optimizer::OptimizerRule;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

pub use self::client::Cluster;
pub use self::explain::stages;
pub use self::jobs::{JobRecord, JobState, Submission};
pub use self::operator::{ClusterExec, placed};
pub use self::roles::{ExecutorOptions, Running, SchedulerOptions, run_executor, run_scheduler};
pub use self::service::Member;

/// Where a scheduler listens unless told otherwise.
pub const PORT_DEFAULT: u16 = 50050;
/// The longest message between two processes, in bytes: a plan over very many files.
const MESSAGE_LEN_MAX: usize = 256 << 20;

/// What plans for a cluster are made with: nothing that only works within one process.
pub fn configure(options: &mut ConfigOptions) {
    let optimizer = &mut options.optimizer;
    // A filter that one task sets for another does not cross to its machine.
    optimizer.enable_dynamic_filter_pushdown = false;
    optimizer.enable_topk_dynamic_filter_pushdown = false;
    optimizer.enable_join_dynamic_filter_pushdown = false;
    optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    // Ballista takes exchanges that only deal rows out of the plan.
    optimizer.enable_round_robin_repartition = false;
    optimizer.prefer_existing_sort = false;
}

/// The settings that go with a plan as a job.
fn job_options(options: &ConfigOptions, plan: &Arc<dyn ExecutionPlan>) -> ConfigOptions {
    let mut options = options.clone();
    configure(&mut options);
    // Exchanges that Ballista puts in deal to as many tasks as those of the plan.
    options.execution.target_partitions = widest(plan);
    options
}

/// The most partitions that an operator of a plan has.
fn widest(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = plan.output_partitioning().partition_count();
    plan.children().into_iter().map(widest).fold(own, usize::max)
}

/// Ballista's rules for plans of a cluster, before DataFusion's.
pub fn optimizer_rules(
    rules: &[Arc<dyn OptimizerRule + Send + Sync>],
) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    ballista_core::optimizer::with_ballista_optimizer_rules(rules)
}

/// Settings of Ballista that go with each job.
fn settings() -> Vec<KeyValuePair> {
    let setting = |key: &str, value: &str| KeyValuePair {
        key: key.to_string(),
        value: Some(value.to_string()),
    };
    vec![setting("ballista.job.name", "swath")]
}
