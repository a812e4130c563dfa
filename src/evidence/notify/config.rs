//! `notify.yaml`: where webhooks are, what they want to hear, and with what secret they know that it is us.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::event::Kind;
use crate::model::amount::parse_duration;

/// The most hooks of a file.
const MOST: usize = 50;

/// Those who are told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The version of the form: 1.
    pub notify: u32,
    /// Those who are told.
    pub hooks: Vec<Hook>,
}

/// One who is told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// Tells it from the others; what is on its way to it goes by this name.
    pub name: String,
    /// Where it is: a URL, or `env:NAME` or `file:PATH` with one in it, for URLs that are secrets themselves.
    pub url: String,
    /// What signs what it is sent: `env:NAME` or `file:PATH`.
    #[serde(default)]
    pub secret: Option<String>,
    /// What it wants to hear; everything when absent.
    #[serde(default)]
    pub events: Option<Vec<Kind>>,
    /// How it is told.
    #[serde(default)]
    pub format: Format,
    /// How long it has to answer: `5s`; 10 s if not given, a minute at most.
    #[serde(default)]
    pub timeout: Option<String>,
    /// It may be on this machine or on its link (127.0.0.0/8, 169.254.0.0/16, ::1, fe80::/10).
    #[serde(default)]
    pub allow_local: bool,
}

/// How a hook is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// The event as JSON, signed.
    #[default]
    Generic,
    /// A text, as Slack and those compatible with it want it.
    Slack,
}

/// A file says nothing that can be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {what}")]
pub struct BadConfig {
    /// The file.
    pub path: String,
    /// What is wrong with it.
    pub what: String,
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, or is not of the form.
    pub fn read(path: &Path) -> Result<Self, BadConfig> {
        let bad = |what: String| BadConfig { path: path.display().to_string(), what };
        let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        Self::parse(&text).map_err(bad)
    }

    /// Reads a text of the form.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        if config.notify != 1 {
            return Err(format!("`notify: {}` is not a form that this muster reads; `notify: 1` is", config.notify));
        }
        if config.hooks.len() > MOST {
            return Err(format!("there are more than {MOST} hooks"));
        }
        for (place, hook) in config.hooks.iter().enumerate() {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if hook.name.is_empty() || hook.name.len() > 40 || !hook.name.chars().all(plain) {
                return Err(format!("`{}` is no name of a hook: letters, digits, - and _", hook.name.escape_debug()));
            }
            if config.hooks[..place].iter().any(|other| other.name == hook.name) {
                return Err(format!("there are two hooks `{}`", hook.name));
            }
            let indirect = |text: &String| text.starts_with("env:") || text.starts_with("file:");
            if hook.secret.as_ref().is_some_and(|secret| !indirect(secret)) {
                return Err(format!(
                    "the secret of hook `{}` stands in the file: write env:NAME or file:PATH",
                    hook.name
                ));
            }
            if hook.format == Format::Generic && hook.secret.is_none() {
                return Err(format!(
                    "hook `{}` has no secret: without one its receiver cannot know who sends",
                    hook.name
                ));
            }
            hook.patience()?;
            if !indirect(&hook.url) {
                super::send::target(&hook.url).map_err(|what| format!("hook `{}`: {what}", hook.name))?;
            }
        }
        Ok(config)
    }
}

impl Hook {
    /// How long it has to answer.
    ///
    /// # Errors
    /// When the file says no time that can be waited.
    pub fn patience(&self) -> Result<Duration, String> {
        let Some(text) = &self.timeout else { return Ok(Duration::from_secs(10)) };
        let wrong = || format!("hook `{}`: `{text}` is no time between 100ms and 1m", self.name);
        let time = parse_duration(text).map_err(|_| wrong())?;
        if (Duration::from_millis(100)..=Duration::from_secs(60)).contains(&time) { Ok(time) } else { Err(wrong()) }
    }

    /// Whether it wants to hear of such a thing.
    #[must_use]
    pub fn wants(&self, kind: Kind) -> bool {
        self.events.as_ref().is_none_or(|kinds| kinds.contains(&kind))
    }
}

/// A text of the file, or what it names: `env:NAME`, `file:PATH`.
///
/// # Errors
/// When what it names is not there.
pub fn resolved(text: &str) -> Result<String, String> {
    let found = if let Some(name) = text.strip_prefix("env:") {
        std::env::var(name).map_err(|_| format!("the variable {name} is not set"))?
    } else if let Some(path) = text.strip_prefix("file:") {
        std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?
    } else {
        return Ok(text.to_owned());
    };
    let found = found.trim_end_matches(['\n', '\r']).to_owned();
    if found.is_empty() { Err(format!("{text} is empty")) } else { Ok(found) }
}
