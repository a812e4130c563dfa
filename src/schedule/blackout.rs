//! Times in which nothing is started: days, stretches of time, and windows that come every week or every day.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;

use crate::model::Timestamp;

/// One time in which nothing is started, by the clock of the schedule's zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// As written.
    pub text: String,
    /// The calendar it stands in, if in one.
    pub calendar: Option<String>,
    span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Span {
    /// From the first up to, not including, the second.
    Once(DateTime, DateTime),
    /// Minutes since Monday 00:00, up to and not including the second; over the end of the week where that is not later.
    Weekly(u32, u32),
    /// Minutes since midnight; over midnight where the second is not later.
    Daily(u32, u32),
}

const DAY: u32 = 24 * 60;
const WEEK: u32 = 7 * DAY;

impl Window {
    /// Reads `2026-12-24`, `2026-12-20..2027-01-06` (both days whole), `2026-12-24T12:00..2026-12-27T06:00`, `Sat..Sun`, `Sat`,
    /// `Fri 18:00..Mon 06:00`, `22:00..06:00`.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no time to leave out: write a day (2026-12-24), days (2026-12-20..2027-01-06), times \
                 (2026-12-24T12:00..2026-12-27T06:00), weekdays (Sat..Sun, Fri 18:00..Mon 06:00) or hours (22:00..06:00)"
            )
        };
        let (from, to) = match text.split_once("..") {
            Some((from, to)) => (Edge::parse(from).ok_or_else(wrong)?, Edge::parse(to).ok_or_else(wrong)?),
            None => {
                let edge = Edge::parse(text).ok_or_else(wrong)?;
                if matches!(edge, Edge::Moment(_) | Edge::Weekly(_) | Edge::Daily(_)) {
                    return Err(wrong());
                }
                (edge, edge)
            }
        };
        let span = match (from, to) {
            (Edge::Day(from), Edge::Day(to)) => {
                let end = to.tomorrow().map_err(|_| wrong())?;
                Span::Once(from.to_datetime(Time::midnight()), end.to_datetime(Time::midnight()))
            }
            (Edge::Moment(from), Edge::Moment(to)) => Span::Once(from, to),
            (Edge::Moment(from), Edge::Day(to)) => {
                Span::Once(from, to.tomorrow().map_err(|_| wrong())?.to_datetime(Time::midnight()))
            }
            (Edge::Day(from), Edge::Moment(to)) => Span::Once(from.to_datetime(Time::midnight()), to),
            (Edge::Weekday(from), Edge::Weekday(to)) => Span::Weekly(from * DAY, (to + 1) * DAY % WEEK),
            (Edge::Weekly(from), Edge::Weekly(to)) => Span::Weekly(from, to),
            (Edge::Weekly(from), Edge::Weekday(to)) => Span::Weekly(from, (to + 1) * DAY % WEEK),
            (Edge::Weekday(from), Edge::Weekly(to)) => Span::Weekly(from * DAY, to),
            (Edge::Daily(from), Edge::Daily(to)) => Span::Daily(from, to % DAY),
            _ => return Err(wrong()),
        };
        match span {
            Span::Once(from, to) if from >= to => Err(format!("`{text}` ends before it begins")),
            Span::Daily(from, to) if from == to => {
                Err(format!("`{text}` is the whole day: leave the schedule out instead"))
            }
            Span::Weekly(from, to) if from == to => {
                Err(format!("`{text}` is the whole week: leave the schedule out instead"))
            }
            span => Ok(Self { text: text.trim().to_owned(), calendar: None, span }),
        }
    }

    /// Whether an instant lies in it.
    #[must_use]
    pub fn contains(&self, at: Timestamp, zone: &TimeZone) -> bool {
        let clock = zone.to_datetime(at);
        let of_day = minutes(clock.time());
        let within =
            |from: u32, to: u32, now: u32| if from < to { (from..to).contains(&now) } else { now >= from || now < to };
        match self.span {
            Span::Once(from, to) => (from..to).contains(&clock),
            Span::Daily(from, to) => within(from, to, of_day),
            Span::Weekly(from, to) => within(from, to, day_of(clock.weekday()) * DAY + of_day),
        }
    }

    /// As one of a calendar.
    #[must_use]
    pub fn of_calendar(self, name: &str) -> Self {
        Self { calendar: Some(name.to_owned()), ..self }
    }

    /// How it is named to people: `freeze (2026-12-20..2027-01-06)`.
    #[must_use]
    pub fn name(&self) -> String {
        self.calendar.as_ref().map_or_else(|| self.text.clone(), |calendar| format!("{calendar} ({})", self.text))
    }
}

/// One end of a window.
#[derive(Clone, Copy)]
enum Edge {
    Day(Date),
    Moment(DateTime),
    Weekday(u32),
    Weekly(u32),
    Daily(u32),
}

impl Edge {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some((day, time)) = text.split_once(' ').filter(|(day, _)| weekday(day).is_some()) {
            return Some(Self::Weekly(weekday(day)? * DAY + time_of_day(time)?));
        }
        if let Some(day) = weekday(text) {
            return Some(Self::Weekday(day));
        }
        if let Some(time) = time_of_day(text) {
            return Some(Self::Daily(time));
        }
        let (day, time) = match text.split_once(['T', ' ']) {
            Some((day, time)) => (day, Some(time)),
            None => (text, None),
        };
        let day = Date::strptime("%Y-%m-%d", day).ok()?;
        match time {
            None => Some(Self::Day(day)),
            Some(time) => {
                let minutes = time_of_day(time)?;
                let (hour, minute) = (i8::try_from(minutes / 60).ok()?, i8::try_from(minutes % 60).ok()?);
                Some(Self::Moment(if hour == 24 {
                    day.tomorrow().ok()?.at(0, 0, 0, 0)
                } else {
                    day.at(hour, minute, 0, 0)
                }))
            }
        }
    }
}

/// Minutes since midnight of `06:30`; `24:00` is the end of the day.
fn time_of_day(text: &str) -> Option<u32> {
    let (hour, minute) = text.trim().split_once(':')?;
    let number =
        |text: &str| (text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u32>().ok());
    let (hour, minute) = (number(hour)??, number(minute)??);
    (minute < 60 && (hour < 24 || (hour == 24 && minute == 0))).then_some(hour * 60 + minute)
}

fn weekday(text: &str) -> Option<u32> {
    const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let text = text.to_lowercase();
    let place = DAYS.iter().position(|day| *day == text || day[..3] == *text)?;
    u32::try_from(place).ok()
}

fn day_of(day: Weekday) -> u32 {
    u32::try_from(day.to_monday_zero_offset()).unwrap_or(0)
}

fn minutes(time: Time) -> u32 {
    u32::try_from(time.hour()).unwrap_or(0) * 60 + u32::try_from(time.minute()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(window: &str, at: &str) -> bool {
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        let at: DateTime = at.parse().expect("a time");
        let at = zone.to_timestamp(at).expect("an instant");
        Window::parse(window).expect(window).contains(at, &zone)
    }

    #[test]
    fn a_window_begins_with_its_first_minute_and_ends_before_its_last() {
        for (window, within, without) in [
            ("2026-12-24", "2026-12-24T00:00:00", "2026-12-25T00:00:00"),
            ("2026-12-20..2027-01-06", "2027-01-06T23:59:59", "2027-01-07T00:00:00"),
            ("2026-12-24T12:00..2026-12-27T06:00", "2026-12-24T12:00:00", "2026-12-27T06:00:00"),
            ("2026-12-24 12:00..2026-12-27", "2026-12-27T23:59:59", "2026-12-24T11:59:59"),
            ("Sat..Sun", "2026-03-01T23:59:59", "2026-03-02T00:00:00"),
            ("saturday", "2026-02-28T12:00:00", "2026-03-01T00:00:00"),
            ("Fri 18:00..Mon 06:00", "2026-03-02T05:59:59", "2026-03-02T06:00:00"),
            ("Sun..Mon", "2026-03-02T12:00:00", "2026-03-03T00:00:00"),
            ("22:00..06:00", "2026-03-02T05:59:59", "2026-03-02T06:00:00"),
            ("08:00..24:00", "2026-03-02T23:59:59", "2026-03-02T07:59:59"),
        ] {
            assert!(inside(window, within), "{within} is in {window}");
            assert!(!inside(window, without), "{without} is not in {window}");
        }
    }

    #[test]
    fn what_is_no_window_is_refused() {
        for wrong in
            ["", "tomorrow", "2026-02-30", "2026-12-24T12:00", "Fri 18:00", "22:00", "25:00..26:00", "Fri..22:00"]
        {
            assert!(Window::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Window::parse("2027-01-06..2026-12-20").expect_err("backward").ends_with("ends before it begins"));
        assert!(Window::parse("Mon..Sun").expect_err("always").contains("the whole week"));
        assert!(Window::parse("06:00..06:00").expect_err("always").contains("the whole day"));
    }
}
