//! When a schedule is due: a cron expression in a time zone, with its days of changing clocks.

use std::str::FromStr as _;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Zoned};
use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// A cron expression in a time zone.
///
/// # Guarantees
/// An expression of *fixed times* (seconds, minutes and hours are numbers, ranges or lists of them) is due once a day for each of
/// them: right after the gap where the clock jumps over it, and the first time where it comes twice. Any other (with `*` or `/` in
/// one of the three) is due as the clock on the wall shows it: not at all in a gap, twice in a repeated hour.
#[derive(Clone, Debug)]
pub struct Timing {
    /// As written.
    pub written: Written,
    cron: Cron,
    zone: TimeZone,
    fixed: bool,
}

/// A timing as it is written and stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Five fields (minute, hour, day, month, weekday), or six with seconds in front.
    pub cron: String,
    /// A zone of the IANA database: `Europe/Berlin`.
    pub timezone: String,
}

/// Why a timing is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// The expression.
    #[error("`{0}` is no cron expression: {1}")]
    Cron(String, String),
    /// It never comes.
    #[error("`{0}` is never due: no such day comes")]
    Never(String),
    /// The zone.
    #[error("there is no time zone `{0}`")]
    Zone(String),
}

/// No zone jumps further than a day.
const WIDEST_JUMP: SignedDuration = SignedDuration::from_hours(26);

impl Timing {
    /// Reads a timing.
    ///
    /// # Errors
    /// When expression or zone is none, or the expression is never due.
    pub fn new(cron: &str, timezone: &str) -> Result<Self, TimingError> {
        let wrong = |why: String| TimingError::Cron(cron.to_owned(), why);
        let fields: Vec<&str> = cron.split_whitespace().collect();
        if !(5..=6).contains(&fields.len()) || cron.contains('@') {
            let why = format!("it has {} fields; minute, hour, day, month and weekday are wanted", fields.len());
            return Err(wrong(why + ", seconds in front if need be"));
        }
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let parsed = parser.parse(cron).map_err(|error| wrong(error.to_string()))?;
        let zone = TimeZone::get(timezone).map_err(|_| TimingError::Zone(timezone.to_owned()))?;
        // The last two of day, month and weekday say which days: the three, or two, before them say at what time.
        let of_day = &fields[..fields.len() - 3];
        let fixed = !of_day.iter().any(|field| field.contains(['*', '?', '/']));
        let written = Written { cron: fields.join(" "), timezone: timezone.to_owned() };
        let timing = Self { written, cron: parsed, zone, fixed };
        let start = Timestamp::from_str("2024-01-01T00:00:00Z").unwrap_or(Timestamp::UNIX_EPOCH);
        timing.next(start).ok_or_else(|| TimingError::Never(cron.to_owned()))?;
        Ok(timing)
    }

    /// As stored before.
    ///
    /// # Errors
    /// As [`Timing::new`]: another machine may know other zones.
    pub fn of(written: &Written) -> Result<Self, TimingError> {
        Self::new(&written.cron, &written.timezone)
    }

    /// The zone.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The first due instant after this one. `None` at the end of the calendar.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        if !self.fixed {
            let from = after.to_zoned(self.zone.clone());
            return Some(self.cron.find_next_occurrence(&from, false).ok()?.timestamp());
        }
        // On the clock as if it never jumped; then each time of day is put on the time line. That keeps their order, so the first
        // that lies behind `after` is it. A jump shortly before may have moved times that the clock shows earlier.
        let jumped = self.zone.preceding(after).next().is_some_and(|jump| jump.timestamp() + WIDEST_JUMP > after);
        let back = if jumped { WIDEST_JUMP } else { SignedDuration::ZERO };
        let mut clock: DateTime = self.zone.to_datetime(after).checked_sub(back).ok()?;
        loop {
            clock = self.cron.find_next_occurrence(&clock, false).ok()?;
            let due = self.instant(clock)?;
            if due > after {
                return Some(due);
            }
        }
    }

    /// Where a time of the clock lies: the first where it comes twice, right after the gap where it never comes.
    fn instant(&self, clock: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_zoned(clock);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
                ambiguous.earlier().ok().map(|zoned: Zoned| zoned.timestamp())
            }
            AmbiguousOffset::Gap { after, .. } => {
                let before = after.to_timestamp(clock).ok()?;
                self.zone.following(before).next().map(|jump| jump.timestamp())
            }
        }
    }

    /// The due instants after `after` up to and including `until`, at most so many.
    #[must_use]
    pub fn between(&self, after: Timestamp, until: Timestamp, most: usize) -> Vec<Timestamp> {
        let mut found = Vec::new();
        let mut last = after;
        while found.len() < most {
            match self.next(last) {
                Some(due) if due <= until => {
                    found.push(due);
                    last = due;
                }
                _ => break,
            }
        }
        found
    }

    /// The shortest time between two of the next due instants, as far as a few of them tell.
    #[must_use]
    pub fn shortest_gap(&self, from: Timestamp) -> Option<SignedDuration> {
        let due = self.between(from, Timestamp::MAX, 64);
        due.windows(2).map(|pair| pair[1].duration_since(pair[0])).min()
    }

    /// How the expression reads in words: `At 03:00`.
    #[must_use]
    pub fn words(&self) -> String {
        self.cron.describe()
    }

    /// The zones there are, for the likely spelling of one that is none.
    #[must_use]
    pub fn zones() -> Vec<String> {
        jiff::tz::db().available().map(|name| name.to_string()).collect()
    }
}

impl PartialEq for Timing {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for Timing {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    /// The table of the documentation: zone, expression, the day, and what is due on it, in UTC.
    fn table() -> Vec<Vec<String>> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schedules.md");
        let text = std::fs::read_to_string(path).expect("the documentation");
        let rows = text.lines().skip_while(|line| !line.starts_with("| zone")).skip(2);
        rows.take_while(|line| line.starts_with('|'))
            .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect())
            .collect()
    }

    #[test]
    fn the_table_of_changing_clocks_in_the_documentation_holds_line_by_line() {
        let rows = table();
        assert!(rows.len() >= 14, "the table is there: {rows:?}");
        for row in rows {
            let [zone, cron, day, due, _why] = row.as_slice() else { panic!("five cells: {row:?}") };
            let timing = Timing::new(cron, zone).expect("a timing");
            let day: jiff::civil::Date = day.parse().expect("a day");
            let start = day.to_zoned(timing.zone().clone()).expect("its beginning").timestamp();
            let end = day.tomorrow().expect("a day").to_zoned(timing.zone().clone()).expect("its end").timestamp();
            let before = start - SignedDuration::from_secs(1);
            let found: Vec<String> = timing
                .between(before, end - SignedDuration::from_secs(1), 2000)
                .iter()
                .map(|at| at.strftime("%H:%M").to_string())
                .collect();
            let shown = if found.len() > 6 { format!("{} times", found.len()) } else { found.join(" ") };
            let shown = if shown.is_empty() { "never".to_owned() } else { shown };
            assert_eq!(&shown, due, "{zone} {cron} on {day}");
        }
    }

    #[test]
    fn what_is_no_timing_says_why() {
        let told = |cron: &str, zone: &str| Timing::new(cron, zone).expect_err("refused").to_string();
        assert!(told("* * * *", "UTC").contains("it has 4 fields"));
        assert!(told("0 0 3 * * * 2027", "UTC").contains("it has 7 fields"));
        assert!(told("@daily", "UTC").contains("it has 1 fields"));
        assert!(told("61 * * * *", "UTC").starts_with("`61 * * * *` is no cron expression"));
        assert_eq!(told("0 3 30 2 *", "UTC"), "`0 3 30 2 *` is never due: no such day comes");
        assert_eq!(told("0 3 * * *", "Europe/Berlim"), "there is no time zone `Europe/Berlim`");
    }

    #[test]
    fn seconds_may_stand_in_front() {
        let timing = Timing::new("*/20 * * * * *", "UTC").expect("a timing");
        let due = timing.between(at("2026-03-01T12:00:00Z"), at("2026-03-01T12:01:00Z"), 9);
        assert_eq!(due, [at("2026-03-01T12:00:20Z"), at("2026-03-01T12:00:40Z"), at("2026-03-01T12:01:00Z")]);
    }

    /// Fixed times of a day that is an hour short or long, told from the clock alone.
    fn by_hand(zone: &TimeZone, hours: &[i8], minute: i8, from: jiff::civil::Date, days: i32) -> Vec<Timestamp> {
        let mut due = Vec::new();
        let mut day = from;
        for _ in 0..days {
            for hour in hours {
                let mut clock = day.at(*hour, minute, 0, 0);
                // A time that never comes is the first that does.
                while zone.to_ambiguous_timestamp(clock).offset().is_gap() {
                    clock = clock.checked_add(SignedDuration::from_secs(1)).expect("a time");
                }
                due.push(zone.to_ambiguous_timestamp(clock).earlier().expect("an instant"));
            }
            day = day.tomorrow().expect("a day");
        }
        due.dedup();
        due
    }

    trait IsGap {
        fn is_gap(&self) -> bool;
    }

    impl IsGap for AmbiguousOffset {
        fn is_gap(&self) -> bool {
            matches!(self, AmbiguousOffset::Gap { .. })
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_fixed_time_is_due_once_a_day_whatever_the_clocks_do(
            zone in prop::sample::select(vec![
                "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Beirut", "Africa/Cairo",
                "Pacific/Apia", "UTC",
            ]),
            mut hours in prop::collection::vec(0i8..24, 1..4),
            minute in 0i8..60,
            year in 2009i16..2027,
            day in 1i16..360,
        ) {
            hours.sort_unstable();
            hours.dedup();
            let list = hours.iter().map(i8::to_string).collect::<Vec<_>>().join(",");
            let timing = Timing::new(&format!("{minute} {list} * * *"), zone).expect("a timing");
            let from = jiff::civil::Date::new(year, 1, 1).expect("a day")
                .checked_add(SignedDuration::from_hours(24 * i64::from(day))).expect("a day");
            let wanted = by_hand(timing.zone(), &hours, minute, from, 9);
            let first = wanted[0] - SignedDuration::from_secs(1);
            prop_assert_eq!(timing.between(first, wanted[wanted.len() - 1], 100), wanted);
        }

        #[test]
        fn due_instants_only_go_forward(cron in prop::sample::select(vec![
            "*/7 * * * *", "30 1-3 * * *", "0 */2 * * *", "15,45 2 * * *", "0 0 L * *", "0 0 2 * * SUN#2",
        ]), seconds in 1_700_000_000i64..1_800_000_000) {
            let timing = Timing::new(cron, "Europe/Berlin").expect("a timing");
            let from = Timestamp::from_second(seconds).expect("an instant");
            let due = timing.between(from, Timestamp::MAX, 40);
            prop_assert_eq!(due.len(), 40);
            prop_assert!(due[0] > from);
            prop_assert!(due.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", due);
        }

        #[test]
        fn no_text_makes_it_panic(cron in "[-0-9*/,?LW#@a-zA-Z ]{0,24}", zone in "[A-Za-z/_]{0,12}") {
            let _ = Timing::new(&cron, &zone);
        }
    }
}
