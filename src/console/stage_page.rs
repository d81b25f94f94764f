//! The stages of a statement as one HTML page that needs nothing else.

use std::collections::HashMap;
use std::fmt::Write;

use crate::exec::stage::{Stage, StageGraph};
use crate::plan::stage::{show_exchange, show_measured};
use crate::units::{show_bytes, show_count, show_counted};

const STYLE: &str = "
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem; color: #1c2330; background: #f7f8fa; }
pre { background: #fff; border: 1px solid #d8dde6; padding: .8rem; overflow: auto; }
.column { display: flex; gap: 1.5rem; justify-content: center; flex-wrap: wrap; }
.stage { background: #fff; border: 1px solid #b9c2d0; border-radius: 8px; padding: .8rem 1rem;
  min-width: 18rem; max-width: 44rem; box-shadow: 0 1px 3px #0001; }
.stage h2 { font-size: 1rem; margin: 0 0 .4rem; }
.stage ol { margin: .2rem 0; padding-left: 1.2rem; }
.measured { color: #2a6b3c; }
.bar { height: 6px; background: #3f7fd9; border-radius: 3px; margin: .3rem 0; }
.exchange { text-align: center; color: #57627a; margin: .6rem; }
@media (prefers-color-scheme: dark) {
  body { background: #14171c; color: #e4e8ef; } pre, .stage { background: #1d2229; border-color: #39424f; }
}";

/// The page: the statement, then the stages, those that are read above those that read them.
pub(super) fn stage_page(sql: &str, graph: &StageGraph) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>swath: stages</title>\n\
         <style>{STYLE}</style>\n<h1>Stages</h1>\n<pre>{}</pre>\n",
        escape(sql.trim())
    );
    let depths = depths(graph);
    let slowest = graph
        .stages
        .iter()
        .filter_map(|stage| stage.measured.as_ref())
        .map(|measured| measured.work_seconds)
        .fold(0.0, f64::max);
    for depth in (0..=depths.values().copied().max().unwrap_or(0)).rev() {
        let row = || graph.stages.iter().filter(|stage| depths[&stage.id] == depth);
        page.push_str("<div class=\"column\">\n");
        row().for_each(|stage| write_stage(&mut page, stage, slowest));
        page.push_str("</div>\n");
        for stage in row() {
            let readers: Vec<String> = graph
                .stages
                .iter()
                .filter(|reader| reader.inputs.contains(&stage.id))
                .map(|reader| format!("stage {}", reader.id))
                .collect();
            let to = if readers.is_empty() { String::new() } else { " to ".to_string() };
            let _ = writeln!(
                page,
                "<div class=\"exchange\">▼ stage {}: {}{to}{}</div>",
                stage.id,
                escape(&show_exchange(&stage.exchange)),
                readers.join(", ")
            );
        }
    }
    page.push_str("</html>\n");
    page
}

/// How many exchanges lie between a stage and the answer, at most.
fn depths(graph: &StageGraph) -> HashMap<usize, usize> {
    let mut depths: HashMap<usize, usize> = HashMap::new();
    // Readers come behind what they read.
    for stage in graph.stages.iter().rev() {
        let own = *depths.entry(stage.id).or_default();
        for input in &stage.inputs {
            let depth = depths.entry(*input).or_default();
            *depth = (*depth).max(own + 1);
        }
    }
    depths
}

fn write_stage(page: &mut String, stage: &Stage, slowest: f64) {
    let tasks = show_counted(stage.task_count as u64, "task");
    let _ = writeln!(page, "<div class=\"stage\"><h2>Stage {}: {tasks}</h2>", stage.id);
    for scan in &stage.scans {
        let _ = writeln!(
            page,
            "<div>reads {} of {}, {}</div>",
            show_count(scan.file_count as u64),
            show_counted(scan.file_total as u64, "file"),
            show_bytes(scan.len_bytes)
        );
    }
    if let Some(measured) = &stage.measured {
        let width = 100.0 * measured.work_seconds / slowest.max(f64::MIN_POSITIVE);
        let _ = writeln!(page, "<div class=\"bar\" style=\"width:{width:.1}%\"></div>");
        let _ =
            writeln!(page, "<div class=\"measured\">{}</div>", escape(&show_measured(measured)));
    }
    for pipeline in &stage.pipelines {
        page.push_str("<ol>");
        for operator in pipeline {
            let _ = write!(page, "<li>{}</li>", escape(operator));
        }
        page.push_str("</ol>\n");
    }
    page.push_str("</div>\n");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::stage::Exchange;

    #[test]
    fn what_is_read_stands_above_and_nothing_is_markup() {
        let stage = |id, inputs: &[usize], exchange| Stage {
            id,
            task_count: 2,
            inputs: inputs.to_vec(),
            scans: Vec::new(),
            pipelines: vec![vec![format!("a < b in stage {id}")]],
            exchange,
            row_estimate: None,
            measured: None,
        };
        let graph = StageGraph {
            stages: vec![
                stage(1, &[], Exchange::Broadcast),
                stage(2, &[1], Exchange::Gather),
                stage(3, &[2, 1], Exchange::Answer),
            ],
        };
        let page = stage_page("SELECT 1 < 2", &graph);
        let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} in {page}"));
        assert!(at("<h2>Stage 1:") < at("<h2>Stage 2:"));
        assert!(at("<h2>Stage 2:") < at("<h2>Stage 3:"));
        assert!(page.contains("SELECT 1 &lt; 2") && page.contains("a &lt; b"));
        assert!(page.contains("stage 2, stage 3"), "{page}");
    }
}
