//! What the docker operations share in their arguments and results.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::fault::OpError;
use crate::ops::Touch;

/// A container by name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContainerArgs {
    /// Name or id of the container.
    pub container: String,
}

/// A place where a new container shall see a volume or a folder of the host.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MountArgs {
    /// The volume, which must exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// Or the folder of the host, absolute, which must exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind: Option<String>,
    /// The folder inside the container.
    pub at: String,
    /// Whether it can only be read there.
    #[serde(default)]
    pub read_only: bool,
}

impl MountArgs {
    /// As the client's `--mount` wants it.
    ///
    /// # Errors
    /// Refused when it names both or neither of volume and bind, or a text would break the option.
    pub fn option(&self) -> Result<String, OpError> {
        let (kind, source) = match (&self.volume, &self.bind) {
            (Some(volume), None) => ("volume", volume),
            (None, Some(folder)) if Path::new(folder).is_absolute() => ("bind", folder),
            (None, Some(folder)) => {
                return Err(OpError::refused(format!("cannot mount {folder}: the path is not absolute")));
            }
            _ => {
                return Err(OpError::refused(format!("cannot mount at {}: give either volume or bind", self.at)));
            }
        };
        if let Some(bad) = [source, &self.at].into_iter().find(|text| text.contains(',') || text.is_empty()) {
            return Err(OpError::refused(format!("cannot mount `{bad}`: a mount path is not empty and has no comma")));
        }
        let read_only = if self.read_only { ",ro" } else { "" };
        Ok(format!("type={kind},source={source},destination={}{read_only}", self.at))
    }
}

/// Labels as `--label` arguments.
pub fn push_labels(argv: &mut Vec<String>, labels: &BTreeMap<String, String>) {
    for (name, value) in labels {
        argv.extend(["--label".to_owned(), format!("{name}={value}")]);
    }
}

/// A name must not look like an option of the client.
///
/// # Errors
/// Refused when it is empty or starts with a dash.
pub fn check_name(kind: &str, name: &str) -> Result<(), OpError> {
    if name.is_empty() || name.starts_with('-') || name.contains(['\0', '\n', ' ']) {
        return Err(OpError::refused(format!("`{name}` cannot be the name of a {kind}")));
    }
    Ok(())
}

/// What a container may change of that which is mounted into it.
#[must_use]
pub(super) fn touched(mounts: &[MountArgs]) -> Vec<Touch> {
    let writable = mounts.iter().filter(|mount| !mount.read_only);
    let things = writable.filter_map(|mount| match (&mount.volume, &mount.bind) {
        (Some(volume), _) => Some(format!("volume/{volume}")),
        (None, Some(folder)) => Some(file_resource(folder)),
        (None, None) => None,
    });
    things.map(Touch::changes).collect()
}

/// The resource of a file: the same path that the `fs` family uses.
#[must_use]
pub fn file_resource(path: &str) -> String {
    format!("fs/{}", path.trim_start_matches('/'))
}
