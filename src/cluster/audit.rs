//! Whether a job that has ended read each row once.
//!
//! When an executor is lost, Ballista runs tasks again and rolls stages back. Version 55 may then leave
//! what an earlier attempt of a stage gave among the inputs of the next one, which reads it as well: an
//! answer with rows too many, and no error. So a job's records are checked before its rows are taken:
//! what each stage has read must be just what the tasks gave that count, each once. A job that does not
//! stand the check has its statement run again.

use std::collections::BTreeSet;

use ballista_core::serde::protobuf::task_status::Status;
use ballista_scheduler::state::execution_graph::ExecutionGraphBox;
use ballista_scheduler::state::execution_stage::{ExecutionStage, SuccessfulStage};

/// Rows that a task has given: partition, task, file.
type Given = (usize, usize, Option<u64>);

/// What is wrong with the records of a job, if anything is.
pub(super) fn fault(graph: &ExecutionGraphBox) -> Option<String> {
    let stages: Option<Vec<&SuccessfulStage>> = graph
        .stages()
        .values()
        .map(|stage| match stage {
            ExecutionStage::Successful(stage) => Some(stage),
            _ => None,
        })
        .collect();
    let Some(stages) = stages else { return Some("a stage has not ended".into()) };
    for stage in &stages {
        let id = stage.stage_id;
        let expected = match given(stage) {
            Ok(given) => given,
            Err(fault) => return Some(format!("stage {id}: {fault}")),
        };
        let of_answer = stage.output_links.is_empty().then(|| {
            let locations = graph.output_locations().into_iter();
            locations.filter(|location| location.partition_id.stage_id == id).collect::<Vec<_>>()
        });
        let of_readers = stages.iter().filter_map(|reader| {
            let input = reader.inputs.get(&id)?;
            Some(input.partition_locations.values().flatten().cloned().collect::<Vec<_>>())
        });
        for taken in of_readers.chain(of_answer) {
            let count = taken.len();
            let taken: BTreeSet<Given> = taken
                .into_iter()
                .map(|location| {
                    let partition = location.partition_id.partition_id;
                    (partition, location.map_partition_id, location.file_id)
                })
                .collect();
            if taken.len() != count {
                return Some(format!("rows of stage {id} were read twice"));
            }
            if taken != expected {
                return Some(format!("what stage {id} gave is not what was read of it"));
            }
        }
    }
    None
}

/// What the tasks of a stage gave that count; each of its partitions must be of one of them.
fn given(stage: &SuccessfulStage) -> Result<BTreeSet<Given>, &'static str> {
    let mut partitions = BTreeSet::new();
    let mut given = BTreeSet::new();
    for task in &stage.task_infos {
        let Status::Successful(done) = &task.task_status else { continue };
        for partition in &task.global_input_partition_ids {
            if !partitions.insert(*partition) {
                return Err("two tasks count for one partition");
            }
        }
        for written in &done.partitions {
            given.insert((written.partition_id as usize, task.task_id, written.file_id));
        }
    }
    if partitions.len() != stage.partitions {
        return Err("a partition is missing");
    }
    Ok(given)
}
