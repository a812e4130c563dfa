//! Instants and spans of time as people read them: in UTC, and relative to now.

use std::time::Duration;

use crate::model::Timestamp;

/// `12:00:03Z`: for lines of one run.
#[must_use]
pub fn time(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}

/// `2026-03-01 12:00:03Z`.
#[must_use]
pub fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// `2026-03-01 12:00:03Z (3m ago)`.
#[must_use]
pub fn both(at: Timestamp, now: Timestamp) -> String {
    format!("{} ({})", instant(at), relative(at, now))
}

/// `3m ago`, `in 12s`, `now`.
#[must_use]
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    let past = between(at, now);
    let future = between(now, at);
    if past.as_secs() == 0 && future.as_secs() == 0 {
        "now".to_owned()
    } else if future.is_zero() {
        format!("{} ago", coarse(past))
    } else {
        format!("in {}", coarse(future))
    }
}

/// From one instant to a later one; zero if it is not later.
#[must_use]
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

/// A measured duration with as many digits as a person wants: `0.3s`, `12.4s`, `3m 05s`, `2h 03m`.
#[must_use]
pub fn took(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => {
            let tenths = duration.as_millis() / 100;
            format!("{}.{}s", tenths / 10, tenths % 10)
        }
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// As [`took`], of milliseconds, with their sign: data may be newer than the instant from which they are reckoned.
#[must_use]
pub fn millis(millis: i64) -> String {
    // What is shown as nothing has none.
    let sign = if millis <= -50 { "-" } else { "" };
    format!("{sign}{}", took(Duration::from_millis(millis.unsigned_abs())))
}

/// An age or a time left, in one unit: `12s`, `3m`, `2h`, `4d`.
#[must_use]
pub fn coarse(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_newer_than_the_declared_start_have_a_negative_age() {
        assert_eq!(
            (millis(-12_300), millis(-20), millis(0)),
            ("-12.3s".to_owned(), "0.0s".to_owned(), "0.0s".to_owned())
        );
    }

    #[test]
    fn an_instant_is_told_in_utc_and_relative_to_now() {
        let at: Timestamp = "2026-03-01T12:00:03Z".parse().expect("a timestamp");
        let later = |seconds: u64| at + Duration::from_secs(seconds);
        assert_eq!(both(at, later(200)), "2026-03-01 12:00:03Z (3m ago)");
        assert_eq!(relative(later(12), at), "in 12s");
        assert_eq!(relative(at, at), "now");
        assert_eq!(relative(at, later(86_400 * 3)), "3d ago");
    }

    #[test]
    fn a_duration_has_no_more_digits_than_anyone_wants() {
        assert_eq!(took(Duration::from_millis(349)), "0.3s");
        assert_eq!(took(Duration::from_secs(185)), "3m 05s");
        assert_eq!(took(Duration::from_secs(7400)), "2h 03m");
    }
}
