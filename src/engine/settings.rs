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
}

impl Default for Settings {
    fn default() -> Self {
        Settings { reuse: false, planning_limit: super::clock::LIMIT_DEFAULT }
    }
}

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
            _ => {
                return fail(
                    Error::sql(format!("no setting named swath.{key}"))
                        .hint("there are swath.reuse and swath.planning_limit"),
                );
            }
        }
        Ok(())
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        let reuse = if self.reuse { "on" } else { "off" };
        let planning_limit = format!("{}ms", self.planning_limit.as_millis());
        vec![
            ConfigEntry {
                key: "swath.reuse".into(),
                value: Some(reuse.into()),
                description: "whether partial aggregates of files are kept and used again",
            },
            ConfigEntry {
                key: "swath.planning_limit".into(),
                value: Some(planning_limit),
                description: "how long planning a statement may take",
            },
        ]
    }
}
