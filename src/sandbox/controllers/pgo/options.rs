//! Options of a restore, as the operator hands them to a shell and pgBackRest understands them.

use crate::model::Timestamp;

/// Until when a restore goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Until {
    /// The end of the archive.
    #[default]
    Latest,
    /// As soon as the backup is consistent.
    Consistent,
    /// An instant.
    Time(Timestamp),
}

/// What a restore is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// One backup.
    pub set: Option<String>,
    /// Until when.
    pub until: Until,
    /// The target as it was written.
    pub target: String,
    /// A timeline other than the newest.
    pub timeline: Option<u32>,
    /// Only these databases.
    pub only: Vec<String>,
}

/// Options that the operator refuses, but only when it comes to the Job.
const BANNED: [(&str, &str); 5] = [
    ("--repo", "please use the 'repoName' field instead."),
    ("--stanza", "the operator will automatically set this option."),
    ("--pg1-path", "the operator will automatically set this option."),
    ("--target-action", "the operator will automatically set this option."),
    ("--link-map", "the operator will automatically set this option."),
];

/// What the operator says to options that it does not take.
#[must_use]
pub fn refused(options: &[String]) -> Option<String> {
    let flags = options.iter().flat_map(|option| option.split_whitespace()).filter_map(|word| word.split('=').next());
    let found = flags.into_iter().find_map(|flag| BANNED.iter().find(|(banned, _)| *banned == flag))?;
    Some(format!("Option '{}' is not allowed: {}", found.0, found.1))
}

/// The words that a shell makes of a text.
fn words(text: &str) -> Vec<String> {
    let (mut found, mut word, mut quote, mut any) = (Vec::new(), String::new(), None, false);
    for char in text.chars() {
        match (quote, char) {
            (Some(open), char) if open == char => quote = None,
            (None, '\'' | '"') => (quote, any) = (Some(char), true),
            (None, ' ' | '\t' | '\n') => {
                if any || !word.is_empty() {
                    found.push(std::mem::take(&mut word));
                }
                any = false;
            }
            (_, char) => word.push(char),
        }
    }
    if any || !word.is_empty() {
        found.push(word);
    }
    found
}

/// An instant as pgBackRest takes it: `2021-06-09 14:15:11-04`, without `T` and `Z`.
fn instant(text: &str) -> Option<Timestamp> {
    let (day, rest) = text.split_once(' ')?;
    let at = rest.find(['+', '-']);
    let (time, offset) = at.map_or((rest, "+00"), |at| rest.split_at(at));
    let digits = |text: &str| text.chars().all(|char| char.is_ascii_digit() || ":.-+".contains(char));
    if day.len() != 10 || time.len() < 8 || !digits(day) || !digits(time) || !digits(offset) {
        return None;
    }
    let offset = match offset.len() {
        3 => format!("{offset}:00"),
        5 => format!("{}:{}", &offset[..3], &offset[3..]),
        _ => offset.to_owned(),
    };
    format!("{day}T{time}{offset}").parse().ok()
}

impl Options {
    /// What these texts mean.
    ///
    /// # Errors
    /// What pgBackRest says.
    pub fn parse(options: &[String]) -> Result<Self, String> {
        let mut found = Self::default();
        let (mut kind, mut rest) = (String::new(), words(&options.join(" ")).into_iter());
        while let Some(word) = rest.next() {
            let Some(flag) = word.strip_prefix("--") else {
                return Err("ERROR: [032]: command does not allow parameters".to_owned());
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name.to_owned(), value.to_owned()),
                None if ["type", "target", "set", "target-timeline", "db-include"].contains(&flag) => {
                    (flag.to_owned(), rest.next().unwrap_or_default())
                }
                None => (flag.to_owned(), String::new()),
            };
            match name.as_str() {
                "type" => kind = value,
                "target" => found.target = value,
                "set" => found.set = Some(value),
                "target-timeline" => found.timeline = value.parse().ok(),
                "db-include" => found.only.push(value),
                _ => {}
            }
        }
        found.until = match (kind.as_str(), found.target.as_str()) {
            ("" | "default", "") => Until::Latest,
            ("" | "default", _) => {
                return Err(
                    "ERROR: [031]: option 'target' not valid without option 'type' in 'lsn', 'name', 'time', 'xid'"
                        .to_owned(),
                );
            }
            ("immediate", _) => Until::Consistent,
            ("time", "") => return Err("ERROR: [037]: restore command requires option: target".to_owned()),
            ("time", target) => Until::Time(instant(target).ok_or_else(|| {
                format!(
                    "ERROR: [029]: automatic backup set selection cannot be performed with provided time '{target}'"
                )
            })?),
            _ => Until::Latest,
        };
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> Result<Options, String> {
        Options::parse(&options.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_target_is_taken_only_as_pgbackrest_takes_it() {
        let wanted = Until::Time("2021-06-09T18:15:11Z".parse().unwrap());
        for target in [
            "'2021-06-09 14:15:11-04'",
            "\"2021-06-09 14:15:11-04:00\"",
            "'2021-06-09 18:15:11'",
            "'2021-06-09 18:15:11.0+0000'",
        ] {
            assert_eq!(parse(&["--type=time", &format!("--target={target}")]).unwrap().until, wanted, "{target}");
        }
        assert!(
            parse(&["--type=time", "--target=2021-06-09 14:15:11-04"])
                .unwrap_err()
                .contains("does not allow parameters")
        );
        assert!(
            parse(&["--type=time", "--target='2021-06-09T14:15:11Z'"])
                .unwrap_err()
                .contains("automatic backup set selection")
        );
    }

    #[test]
    fn the_operator_refuses_what_it_sets_itself() {
        let refuses = |text: &str| refused(&[text.to_owned()]).is_some();
        assert!(refuses("--repo=2") && refuses("--target-action=promote") && refuses("--delta --stanza=x"));
        assert!(!refuses("--repo1-retention-full=7") && !refuses("--target-timeline=2"));
    }
}
