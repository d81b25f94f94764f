//! Where statements of a session run: in this process, or on a cluster.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::ExecutionPlan;

use crate::error::Result;
use crate::exec::progress::Elsewhere;
use crate::exec::stage::StageGraph;
use crate::notes::Notes;

/// A cluster, if there is one; none is ever set in a build without the feature.
#[derive(Debug, Clone, Default)]
pub(super) struct Remote {
    #[cfg(feature = "cluster")]
    pub(super) cluster: Option<crate::cluster::Cluster>,
}

#[cfg(feature = "cluster")]
impl Remote {
    pub(super) fn is_set(&self) -> bool {
        self.cluster.is_some()
    }

    /// The state that plans for the cluster, with a task for each of its cores.
    pub(super) async fn planning(&self, state: SessionState) -> Result<SessionState> {
        use datafusion::execution::session_state::SessionStateBuilder;

        use crate::error::Error;
        use crate::plan::rules::{self, Purpose};

        let Some(cluster) = &self.cluster else { return Ok(state) };
        let cores: u32 = cluster.members().await?.iter().map(|member| member.cores).sum();
        if cores == 0 {
            let address = cluster.address();
            return Err(Error::data(format!("the cluster at {address} has no executors"))
                .hint(format!("start one: swath executor --scheduler {address}")));
        }
        // One task keeps rows in their order; that is not to be lost.
        let task_count = match state.config().target_partitions() {
            1 => 1,
            _ => cores as usize,
        };
        let mut config = state.config().clone().with_target_partitions(task_count);
        crate::cluster::configure(config.options_mut());
        let logical = crate::cluster::optimizer_rules(state.optimizers());
        Ok(SessionStateBuilder::new_from_existing(state)
            .with_config(config)
            .with_optimizer_rules(logical)
            .with_physical_optimizer_rules(rules::physical(Purpose::Cluster))
            .build())
    }

    /// The stages that the cluster will make of a plan; None if it would run here.
    pub(super) fn stages(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        options: &ConfigOptions,
    ) -> Result<Option<StageGraph>> {
        match self.is_set() {
            true => crate::cluster::stages(plan, options),
            false => Ok(None),
        }
    }

    /// The plan as it is to be run.
    pub(super) async fn placed(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        notes: &Notes,
        elsewhere: &Elsewhere,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match &self.cluster {
            Some(cluster) => crate::cluster::placed(plan, cluster, notes, elsewhere).await,
            None => Ok(plan),
        }
    }
}

#[cfg(not(feature = "cluster"))]
impl Remote {
    pub(super) fn is_set(&self) -> bool {
        false
    }

    pub(super) async fn planning(&self, state: SessionState) -> Result<SessionState> {
        Ok(state)
    }

    pub(super) fn stages(
        &self,
        _plan: &Arc<dyn ExecutionPlan>,
        _options: &ConfigOptions,
    ) -> Result<Option<StageGraph>> {
        Ok(None)
    }

    pub(super) async fn placed(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _notes: &Notes,
        _elsewhere: &Elsewhere,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(plan)
    }
}
