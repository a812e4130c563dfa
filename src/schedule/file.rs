//! `schedules.yaml`: what is run when, read with everything that is wrong with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;

use super::blackout::Window;
use super::timing::{Timing, TimingError};
use crate::model::span::{Source, Span, Spanned};
use crate::model::{Timestamp, Value};
use crate::playbook::bundle::MAIN;
use crate::playbook::diagnostic::{Collector, Diagnostic, has_errors, likely};
use crate::playbook::fields::{Fields, Reader};
use crate::playbook::gaps::Gaps;
use crate::playbook::names;
use crate::playbook::yaml::{self, Data, Node, shown};

/// Keys at the top.
pub const KEYS: [&str; 4] = ["muster", "timezone", "calendars", "schedules"];
/// Keys of a schedule.
pub const SCHEDULE_KEYS: [&str; 12] = [
    "playbook",
    "params",
    "drill",
    "cron",
    "timezone",
    "overlap",
    "catch_up",
    "jitter",
    "blackout",
    "unless_incident",
    "enabled",
    "doc",
];
/// How long a missed tick is caught up when the file does not say.
pub const DEFAULT_CATCH_UP: Duration = Duration::from_secs(3600);
/// A file of this name is the schedules of its folder.
pub const NAME: &str = "schedules.yaml";

/// What happens to a tick whose predecessor's run is still open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// It is skipped.
    Skip,
    /// It waits until that run has ended. One waits at a time, further ones are skipped.
    Queue,
}

/// One schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub doc: String,
    /// The playbook as written.
    pub playbook: Spanned<String>,
    /// What the playbook is loaded by: a path where it stands beside the file, otherwise as written.
    pub origin: String,
    /// Parameters.
    pub params: BTreeMap<String, Spanned<Value>>,
    /// Whether it is drilled; otherwise it is a live run.
    pub drill: bool,
    /// When it is due.
    pub timing: Timing,
    /// What happens when the run before is still open.
    pub overlap: Overlap,
    /// How long after its instant a missed tick is still run; `None`: never.
    pub catch_up: Option<Duration>,
    /// Ticks start up to this long after their instants, each by a time of its own.
    pub jitter: Duration,
    /// When nothing is started.
    pub blackout: Vec<Window>,
    /// Nothing is started while a live run is open that is no drill.
    pub unless_incident: bool,
    /// Whether ticks are run at all.
    pub enabled: bool,
    /// Where it stands in the file.
    pub span: Span,
}

/// The schedules of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedules {
    /// In the order of the file.
    pub list: Vec<Schedule>,
}

/// Why there are no schedules to be had from a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read schedules from {path}: {source}")]
    Read { path: String, source: std::io::Error },
    /// It says what cannot be done.
    #[error("{path} is not valid: {}", .diagnostics.first().map_or("", |first| first.message.as_str()))]
    Invalid { path: String, diagnostics: Vec<Diagnostic>, sources: Vec<Source> },
}

impl Schedules {
    /// The schedule of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Schedule> {
        self.list.iter().find(|schedule| schedule.name == name)
    }

    /// Reads a file. What is right in form may still name a playbook that cannot be run: see [`Schedules::check`].
    ///
    /// # Errors
    /// When it cannot be read; or with everything that is wrong with it.
    pub fn load(path: &Path) -> Result<(Self, Vec<Source>), FileError> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|source| FileError::Read { path: name.clone(), source })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let (schedules, diagnostics, sources) = read(&name, &bytes, folder);
        if has_errors(&diagnostics) {
            return Err(FileError::Invalid { path: name, diagnostics, sources });
        }
        Ok((schedules, sources))
    }
}

/// Reads the bytes of a file; playbooks are looked for beside `folder`.
#[must_use]
pub fn read(name: &str, bytes: &[u8], folder: &Path) -> (Schedules, Vec<Diagnostic>, Vec<Source>) {
    let mut collector = Collector::default();
    let text = String::from_utf8_lossy(bytes);
    let sources = vec![Source { name: name.to_owned(), text: text.as_ref().into() }];
    let schedules = yaml::parse(bytes, 0, &mut collector).map(|tree| {
        let reader = Reader { text: &text, faults: &mut collector, gaps: Gaps::default(), stored: false };
        File { reader, folder, calendars: BTreeMap::new(), zone: "UTC".to_owned() }.schedules(&tree)
    });
    (schedules.unwrap_or_default(), collector.finish(), sources)
}

struct File<'t> {
    reader: Reader<'t>,
    folder: &'t Path,
    calendars: BTreeMap<String, Vec<Window>>,
    zone: String,
}

impl File<'_> {
    fn fault(&mut self, fault: Diagnostic) {
        self.reader.faults.push(fault);
    }

    fn schedules(mut self, tree: &Node) -> Schedules {
        let Some(fields) = self.reader.fields(tree, "file of schedules", &KEYS) else { return Schedules::default() };
        if let Some(node) = self.reader.required(&fields, "muster")
            && !matches!(&node.data, Data::Scalar { value, .. } if value.as_i64() == Some(1))
        {
            let fault = Diagnostic::error("format", node.span, "this is not format 1, the one that is understood");
            self.fault(fault.hint("write `muster: 1`"));
        }
        if let Some(zone) = fields.get("timezone").and_then(|node| self.reader.some_text(node)) {
            self.zone_of(&zone);
            self.zone = zone.value;
        }
        if let Some(node) = fields.get("calendars") {
            for (name, node) in self.map(node, "a map of calendars") {
                let windows = self.windows(node, None);
                let named = windows.into_iter().map(|window| window.of_calendar(&name.value));
                let named = named.collect();
                self.calendars.insert(name.value.clone(), named);
            }
        }
        let Some(node) = self.reader.required(&fields, "schedules") else { return Schedules::default() };
        let list = self.map(node, "a map of schedules");
        Schedules { list: list.iter().filter_map(|(name, node)| self.schedule(name, node)).collect() }
    }

    fn map<'n>(&mut self, node: &'n Node, what: &str) -> &'n [(Spanned<String>, Node)] {
        match &node.data {
            Data::Map(entries) => entries,
            _ => {
                self.reader.wrong(node, what);
                &[]
            }
        }
    }

    fn zone_of(&mut self, zone: &Spanned<String>) {
        if let Err(error @ TimingError::Zone(_)) = Timing::new("0 0 * * *", &zone.value) {
            self.zone_fault(&error, zone);
        }
    }

    fn zone_fault(&mut self, error: &TimingError, zone: &Spanned<String>) {
        let zones = Timing::zones();
        let fault = Diagnostic::error("bad-timezone", zone.span, error.to_string());
        let likely = likely(&zone.value, zones.iter().map(String::as_str));
        let fault = match likely {
            Some(likely) => fault.hint(format!("did you mean `{likely}`?")),
            None if zones.is_empty() => fault.hint("this machine knows no time zones: install tzdata"),
            None => fault.hint("a name of the IANA database, like Europe/Berlin or UTC"),
        };
        self.fault(fault);
    }

    fn schedule(&mut self, name: &Spanned<String>, node: &Node) -> Option<Schedule> {
        if !names::is_playbook_name(&name.value) {
            let message = format!("`{}` cannot name a schedule", shown(&name.value));
            let rule = "lowercase letters, digits and `-`, a letter first, at most 64";
            self.fault(Diagnostic::error("bad-name", name.span, message).label(rule));
        }
        let fields = self.reader.fields(node, "schedule", &SCHEDULE_KEYS)?;
        let playbook = self.reader.required(&fields, "playbook").and_then(|node| self.reader.some_text(node));
        let timing = self.timing(&fields);
        let duration = |file: &mut Self, key: &str| fields.get(key).and_then(|node| file.reader.duration(node));
        let catch_up = match fields.get("catch_up") {
            None => Some(DEFAULT_CATCH_UP),
            Some(Node { data: Data::Scalar { text, .. }, .. }) if text == "none" => None,
            Some(_) => duration(self, "catch_up"),
        };
        let jitter = duration(self, "jitter").unwrap_or_default();
        let blackout = fields.get("blackout").map(|node| self.blackout(node)).unwrap_or_default();
        let overlap = match fields.get("overlap").and_then(|node| self.reader.some_text(node)) {
            None => Overlap::Skip,
            Some(text) => match text.value.as_str() {
                "skip" => Overlap::Skip,
                "queue" => Overlap::Queue,
                _ => {
                    let message = format!("there is no overlap policy `{}`", shown(&text.value));
                    self.fault(
                        Diagnostic::error("bad-value", text.span, message).likely(&text.value, ["skip", "queue"]),
                    );
                    Overlap::Skip
                }
            },
        };
        let params = fields.get("params").map(|node| self.map(node, "a map of parameters")).unwrap_or_default();
        let params = params.iter().map(|(name, node)| (name.value.clone(), Spanned::new(node.value(), node.span)));
        let drill = self.flag(&fields, "drill", true);
        let unless_incident = self.flag(&fields, "unless_incident", true);
        let enabled = self.flag(&fields, "enabled", true);
        let schedule = Schedule {
            name: name.value.clone(),
            doc: self.reader.prose(&fields, "doc"),
            origin: origin(&playbook.as_ref()?.value, self.folder),
            playbook: playbook?,
            params: params.collect(),
            drill,
            timing: timing?,
            overlap,
            catch_up,
            jitter,
            blackout,
            unless_incident,
            enabled,
            span: name.span,
        };
        if let Some(gap) = schedule.timing.shortest_gap(Timestamp::UNIX_EPOCH)
            && SignedDuration::try_from(schedule.jitter).is_ok_and(|jitter| jitter >= gap)
        {
            let message = format!("the jitter is not shorter than the time between two ticks ({gap:#})");
            self.fault(Diagnostic::error("bad-jitter", fields.key_span("jitter"), message));
        }
        Some(schedule)
    }

    fn timing(&mut self, fields: &Fields<'_>) -> Option<Timing> {
        let cron = self.reader.required(fields, "cron").and_then(|node| self.reader.some_text(node))?;
        let zone = fields.get("timezone").and_then(|node| self.reader.some_text(node));
        match Timing::new(&cron.value, zone.as_ref().map_or(&self.zone, |zone| &zone.value)) {
            Ok(timing) => Some(timing),
            Err(error @ TimingError::Zone(_)) => {
                // That of the file is told where it stands.
                if let Some(zone) = zone {
                    self.zone_fault(&error, &zone);
                }
                None
            }
            Err(error) => {
                let hint = "minute hour day month weekday, as in \"30 3 * * sun\"; with seconds in front if need be";
                self.fault(Diagnostic::error("bad-cron", cron.span, error.to_string()).hint(hint));
                None
            }
        }
    }

    fn flag(&mut self, fields: &Fields<'_>, key: &str, default: bool) -> bool {
        match fields.get(key) {
            None => default,
            Some(Node { data: Data::Scalar { value: Value::Bool(flag), .. }, .. }) => *flag,
            Some(node) => {
                self.reader.wrong(node, "a bool");
                default
            }
        }
    }

    fn blackout(&mut self, node: &Node) -> Vec<Window> {
        let calendars = self.calendars.clone();
        self.windows(node, Some(&calendars))
    }

    /// Windows, and those of the calendars that are named where calendars can be.
    fn windows(&mut self, node: &Node, calendars: Option<&BTreeMap<String, Vec<Window>>>) -> Vec<Window> {
        let mut windows = Vec::new();
        for item in self.reader.texts(node, true) {
            if let Some(named) = calendars.and_then(|calendars| calendars.get(&item.value)) {
                windows.extend(named.iter().cloned());
                continue;
            }
            match Window::parse(&item.value) {
                Ok(window) => windows.push(window),
                Err(why) => {
                    let fault = Diagnostic::error("bad-blackout", item.span, why);
                    let known: Vec<&str> = calendars.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
                    self.fault(match likely(&item.value, known.iter().copied()) {
                        Some(name) => fault.hint(format!("did you mean the calendar `{name}`?")),
                        None => fault,
                    });
                }
            }
        }
        windows
    }
}

/// What a playbook is loaded by: a folder beside the file, or in `playbooks` beside it; otherwise the name.
fn origin(playbook: &str, folder: &Path) -> String {
    let beside: [PathBuf; 2] = [folder.join(playbook), folder.join("playbooks").join(playbook)];
    let found = beside.into_iter().find(|path| path.join(MAIN).is_file());
    found.map_or_else(|| playbook.to_owned(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playbook::diagnostic::{Style, render};

    fn faults(text: &str) -> String {
        let (_, found, sources) = read("schedules.yaml", text.as_bytes(), Path::new("/nowhere"));
        render(&found, &sources, Style::PLAIN)
    }

    const WHOLE: &str = "
muster: 1
timezone: Europe/Berlin
calendars:
  freeze: [2026-12-20..2027-01-06, Sat..Sun]
schedules:
  nightly:
    playbook: omnichat-restore
    doc: Every night, beside production.
    params: { deployment: /srv/chat, keep: 7 }
    cron: 30 3 * * *
    blackout: [freeze, \"22:00..23:00\"]
    jitter: 10m
  weekly:
    playbook: rds-restore
    drill: false
    cron: 0 0 4 * * sun
    timezone: America/New_York
    overlap: queue
    catch_up: none
    unless_incident: false
    enabled: false
";

    #[test]
    fn what_is_written_is_read_and_what_is_not_has_its_default() {
        assert_eq!(faults(WHOLE), "");
        let (schedules, ..) = read("schedules.yaml", WHOLE.as_bytes(), Path::new("/nowhere"));
        let (nightly, weekly) = (schedules.get("nightly").expect("it is there"), schedules.get("weekly").expect("too"));
        assert_eq!(nightly.timing.written.timezone, "Europe/Berlin");
        assert!(nightly.drill && nightly.unless_incident && nightly.enabled && nightly.overlap == Overlap::Skip);
        assert_eq!((nightly.catch_up, nightly.jitter), (Some(DEFAULT_CATCH_UP), Duration::from_secs(600)));
        assert_eq!(nightly.params["keep"].value, 7);
        let windows: Vec<String> = nightly.blackout.iter().map(Window::name).collect();
        assert_eq!(windows, ["freeze (2026-12-20..2027-01-06)", "freeze (Sat..Sun)", "22:00..23:00"]);
        assert_eq!((weekly.timing.written.cron.as_str(), weekly.catch_up), ("0 0 4 * * sun", None));
        assert!(!weekly.drill && !weekly.unless_incident && !weekly.enabled && weekly.overlap == Overlap::Queue);
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_its_place_and_the_likely_spelling() {
        let text = "
muster: 1
timezone: Europe/Berlim
calendars:
  freeze: [2026-12-40]
schedules:
  Nightly:
    playbok: omnichat-restore
    cron: 30 25 * * *
    overlap: skipp
    catch_up: 3600
    blackout: [freze]
    enabled: yes
  hourly:
    playbook: x
    cron: 0 * * * *
    timezone: UTC
    jitter: 1h
";
        let told = faults(text);
        for part in [
            "there is no time zone `Europe/Berlim`",
            "did you mean `Europe/Berlin`?",
            "`2026-12-40` is no time to leave out",
            "`Nightly` cannot name a schedule",
            "unknown key `playbok` in the schedule",
            "did you mean `playbook`?",
            "there is no overlap policy `skipp`",
            "did you mean `skip`?",
            "add the unit: `3600s` or `3600m`",
            "did you mean the calendar `freeze`?",
            "expected a bool, found a text",
            "the jitter is not shorter than the time between two ticks (1h)",
            "schedules.yaml:3:11",
        ] {
            assert!(told.contains(part), "{part} in\n{told}");
        }
        let told =
            faults("muster: 1\nschedules:\n  a: { playbook: x, cron: 30 25 * * * }\n  b: { cron: \"1 1 * * *\" }\n");
        assert!(told.contains("`30 25 * * *` is no cron expression"), "{told}");
        assert!(told.contains("the schedule has no `playbook`"), "{told}");
    }
}
