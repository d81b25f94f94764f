//! Settings of a session that SQL can change: `SET swath.reuse = on`.

use std::any::Any;
use std::time::Duration;

use datafusion::common::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use datafusion::error::{DataFusionError, Result};

use crate::error::Error;

/// The settings whose names begin with `swath.`.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// Whether partial aggregates of files are kept and used again.
    pub(super) reuse: bool,
    /// How long planning a statement may take.
    pub(super) planning_limit: Duration,
    /// What a statement may read from files.
    pub(super) max_scan_bytes: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        let planning_limit = super::clock::LIMIT_DEFAULT;
        Settings { reuse: false, planning_limit, max_scan_bytes: None }
    }
}

const NAMES: [&str; 3] = ["swath.reuse", "swath.planning_limit", "swath.max_scan_bytes"];

impl ConfigExtension for Settings {
    const PREFIX: &'static str = "swath";
}

impl ExtensionOptions for Settings {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let fail = |error: Error| Err(DataFusionError::from(error));
        match (key, value.to_lowercase().as_str()) {
            ("reuse", "on" | "true" | "1") => self.reuse = true,
            ("reuse", "off" | "false" | "0") => self.reuse = false,
            ("reuse", _) => {
                return fail(Error::sql(format!("swath.reuse is on or off, not {value}")));
            }
            ("planning_limit", text) => match crate::units::parse_duration(text) {
                Ok(limit) => self.planning_limit = limit,
                Err(error) => return fail(error),
            },
            ("max_scan_bytes", "off" | "none") => self.max_scan_bytes = None,
            ("max_scan_bytes", text) => match crate::units::parse_bytes(text) {
                Ok(len) => self.max_scan_bytes = Some(len as u64),
                Err(error) => return fail(error),
            },
            _ => {
                return fail(
                    Error::sql(format!("no setting named swath.{key}"))
                        .hint(format!("there are {}", NAMES.join(", "))),
                );
            }
        }
        Ok(())
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        let reuse = if self.reuse { "on" } else { "off" }.to_string();
        let planning_limit = format!("{}ms", self.planning_limit.as_millis());
        let max_scan_bytes = self.max_scan_bytes.map_or("off".to_string(), |len| len.to_string());
        let descriptions = [
            "whether partial aggregates of files are kept and used again",
            "how long planning a statement may take",
            "what a statement may read from files at most",
        ];
        let values = [reuse, planning_limit, max_scan_bytes];
        let entries = NAMES.into_iter().zip(values).zip(descriptions);
        entries
            .map(|((key, value), description)| ConfigEntry {
                key: key.to_string(),
                value: Some(value),
                description,
            })
            .collect()
    }
}
