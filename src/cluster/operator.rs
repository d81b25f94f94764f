//! A whole plan as one operator that runs on the cluster.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::TryStreamExt;

use super::client::Cluster;
use super::distribute::{self, Fit};
use super::verify;
use crate::exec::progress::Elsewhere;
use crate::notes::{NoteKind, Notes};
use crate::plan::rules;

/// Runs a plan on a cluster; its one partition has all rows, in the order of the plan's partitions.
#[derive(Debug)]
pub struct ClusterExec {
    cluster: Cluster,
    plan: Arc<dyn ExecutionPlan>,
    /// The plan as it would run here, and the share of its files that is run here as well.
    sample: Option<(Arc<dyn ExecutionPlan>, f64)>,
    notes: Notes,
    elsewhere: Elsewhere,
    properties: Arc<PlanProperties>,
}

/// The plan as it is to be run: on the cluster if it can be, else here, which is noted.
///
/// # Errors
/// When executors do not see the plan's files as they were seen here.
pub async fn placed(
    plan: Arc<dyn ExecutionPlan>,
    cluster: &Cluster,
    notes: &Notes,
    elsewhere: &Elsewhere,
) -> crate::Result<Arc<dyn ExecutionPlan>> {
    match distribute::distribute(&plan)? {
        Fit::Here(reason) => {
            if let Some(reason) = reason {
                notes.add(NoteKind::RanHere, format!("ran here, not on the cluster: {reason}"));
            }
            Ok(rules::where_it_runs(plan)?)
        }
        Fit::There(sent) => {
            let sample = match cluster.verified_share() {
                Some(share) => Some((rules::where_it_runs(plan)?, share)),
                None => None,
            };
            let plan = sent;
            let members = cluster.members().await?;
            cluster.check_files(&members, &plan).await?;
            let properties = PlanProperties::new(
                EquivalenceProperties::new(plan.schema()),
                Partitioning::UnknownPartitioning(1),
                EmissionType::Final,
                Boundedness::Bounded,
            );
            Ok(Arc::new(ClusterExec {
                cluster: cluster.clone(),
                plan,
                sample,
                notes: notes.clone(),
                elsewhere: elsewhere.clone(),
                properties: Arc::new(properties),
            }))
        }
    }
}

impl DisplayAs for ClusterExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cluster {}", self.cluster.address())
    }
}

impl ExecutionPlan for ClusterExec {
    fn name(&self) -> &'static str {
        "ClusterExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.is_empty() {
            true => Ok(self),
            false => internal_err!("an operator without inputs got one"),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let (cluster, plan) = (self.cluster.clone(), Arc::clone(&self.plan));
        let (notes, elsewhere) = (self.notes.clone(), self.elsewhere.clone());
        let sample = self.sample.clone();
        let rows = async move {
            if let (Some((plain, share)), 0) = (sample, partition) {
                verify::verify(&plain, share, &cluster, &context, &notes).await?;
            }
            let options = super::job_options(context.session_config().options(), &plan);
            let rows = cluster.run(plan, &options, &notes, &elsewhere).await?;
            Ok::<_, DataFusionError>(rows.map_err(DataFusionError::from))
        };
        let rows = futures::stream::once(rows).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.plan.schema(), rows)))
    }
}
