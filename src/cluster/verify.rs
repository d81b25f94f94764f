//! A sample of what a statement reads, run on the cluster and here: both must give the same rows.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::TryStreamExt;

use super::client::Cluster;
use super::distribute::{self, Fit};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::progress::Elsewhere;
use crate::formats::source::RowSource;
use crate::notes::{NoteKind, Notes};
use crate::output::Values;

type Plan = Arc<dyn ExecutionPlan>;

/// Runs the plan over this share of its files and pieces on the cluster and here.
///
/// # Errors
/// When the rows differ, and those of running it.
pub(super) async fn verify(
    plan: &Plan,
    share: f64,
    cluster: &Cluster,
    context: &Arc<TaskContext>,
    notes: &Notes,
) -> Result<()> {
    let (sample, taken, all) = sampled(plan, share)?;
    let options = super::job_options(context.session_config().options(), &sample);
    let Fit::There(sent) = distribute::distribute(&sample)? else {
        return Ok(());
    };
    let (unheard, unseen) = (Notes::default(), Elsewhere::default());
    let there: Vec<RecordBatch> =
        cluster.run(sent, &options, &unheard, &unseen).await?.try_collect().await?;
    // The values of scalar subqueries are found out anew.
    distribute::subqueries(&sample).iter().for_each(|subqueries| subqueries.results.clear());
    let here: Vec<RecordBatch> =
        execute_stream(Arc::clone(&sample), Arc::clone(context))?.try_collect().await?;
    let (mut there, mut here) = (rows(&there)?, rows(&here)?);
    if keeps_any_rows(plan) {
        // Which rows a limit keeps is open: how many they are is not.
        there.iter_mut().chain(&mut here).for_each(Vec::clear);
    }
    there.sort();
    here.sort();
    if there == here {
        let of = format!("{taken} of {all} files and pieces");
        notes.add(NoteKind::Verified, format!("{of} gave the same rows here and on the cluster"));
        return Ok(());
    }
    let only = |these: &[Row], those: &[Row]| {
        let row = these.iter().find(|row| those.binary_search(row).is_err());
        let cells = row.into_iter().flatten().map(|cell| cell.as_deref().unwrap_or("NULL"));
        cells.collect::<Vec<_>>().join(", ")
    };
    let counts = format!("{} rows there, {} here", there.len(), here.len());
    Err(Error::data(format!("over a sample of the files the cluster gives other rows: {counts}"))
        .hint(format!("only there: {}", only(&there, &here)))
        .hint(format!("only here: {}", only(&here, &there))))
}

/// The plan over some of its files and pieces, how many these are, and how many there are.
fn sampled(plan: &Plan, share: f64) -> Result<(Plan, usize, usize)> {
    let (mut taken, mut all) = (0, 0);
    let every = (1.0 / share.clamp(1e-6, 1.0)).round() as usize;
    let plan = Arc::clone(plan).transform_up(|node| {
        let config = node
            .downcast_ref::<DataSourceExec>()
            .and_then(|scan| scan.data_source().downcast_ref::<FileScanConfig>());
        let Some(config) = config else { return Ok(Transformed::no(node)) };
        let mut number = 0;
        let groups: Vec<FileGroup> = config
            .file_groups
            .iter()
            .map(|group| {
                let some = group.files().iter().filter(|_| {
                    number += 1;
                    (number - 1) % every == 0
                });
                FileGroup::new(some.cloned().collect())
            })
            .collect();
        taken += groups.iter().map(FileGroup::len).sum::<usize>();
        all += number;
        let mut builder = FileScanConfigBuilder::from(config.clone()).with_file_groups(groups);
        // What is read twice is noted once.
        if let Some(rows) = config.file_source().downcast_ref::<RowSource>() {
            builder = builder.with_source(Arc::new(rows.with_notes(Notes::default())));
        }
        Ok(Transformed::yes(DataSourceExec::from_data_source(builder.build()) as Plan))
    });
    Ok((plan.data()?, taken, all))
}

/// Whether an operator keeps some rows of which it does not matter which.
fn keeps_any_rows(plan: &Plan) -> bool {
    plan.fetch().is_some() || plan.children().into_iter().any(keeps_any_rows)
}

/// Values as text, None for NULL.
type Row = Vec<Option<String>>;

/// Rows as text, numbers with the digits that do not depend on the order of additions.
fn rows(batches: &[RecordBatch]) -> Result<Vec<Row>> {
    let cannot = |error: std::io::Error| Error::new(ErrorKind::Internal, error.to_string());
    let mut rows = Vec::new();
    for batch in batches {
        let columns = Values::of(batch).map_err(cannot)?;
        for row in 0..batch.num_rows() {
            let mut cells = Vec::with_capacity(columns.len());
            for (array, values) in batch.columns().iter().zip(&columns) {
                let cell = values.get(row).map_err(cannot)?;
                cells.push(cell.map(|cell| match cell.parse::<f64>() {
                    Ok(number) if array.data_type().is_floating() => format!("{number:.9e}"),
                    _ => cell,
                }));
            }
            rows.push(cells);
        }
    }
    Ok(rows)
}
