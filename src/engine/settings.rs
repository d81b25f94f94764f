//! Settings of a session that SQL can change: `SET swath.reuse = on`.

use std::any::Any;

use datafusion::common::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use datafusion::error::{DataFusionError, Result};

use crate::error::Error;

/// The settings whose names begin with `swath.`.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    /// Whether partial aggregates of files are kept and used again.
    pub(super) reuse: bool,
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
            _ => {
                return fail(
                    Error::sql(format!("no setting named swath.{key}"))
                        .hint("there is swath.reuse"),
                );
            }
        }
        Ok(())
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        vec![ConfigEntry {
            key: "swath.reuse".into(),
            value: Some(if self.reuse { "on" } else { "off" }.into()),
            description: "whether partial aggregates of files are kept and used again",
        }]
    }
}
