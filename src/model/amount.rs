//! Durations (`90m`, `1h30m`, `250ms`) and sizes (`64KiB`, `1.5GB`) as people write them.

use std::time::Duration;

/// A text is no duration or size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind}: write it like {like}")]
pub struct ParseAmount {
    text: String,
    kind: &'static str,
    like: &'static str,
}

/// Reads `90m`, `1h30m`, `2d`, `250ms`, `1.5h`. A number without a unit is refused: nobody should have to guess.
///
/// # Errors
/// When the text is empty, has an unknown unit, or is longer than a thousand years.
pub fn parse_duration(text: &str) -> Result<Duration, ParseAmount> {
    let wrong = || ParseAmount { text: text.to_owned(), kind: "duration", like: "250ms, 30s, 90m, 1h30m or 7d" };
    let mut rest = text.trim();
    let mut seconds = 0f64;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit_len = rest[digits..].find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len() - digits);
        let unit = match &rest[digits..digits + unit_len] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            "w" => 604_800.0,
            _ => return Err(wrong()),
        };
        seconds += number * unit;
        rest = rest[digits + unit_len..].trim_start();
    }
    if seconds > 31_557_600_000.0 {
        return Err(wrong());
    }
    Ok(Duration::from_millis((seconds * 1000.0).round() as u64))
}

/// Reads `512`, `64KiB`, `1.5GB`. Decimal units are powers of 1000, binary ones of 1024.
///
/// # Errors
/// When the number or the unit is not one.
pub fn parse_size(text: &str) -> Result<u64, ParseAmount> {
    let wrong = || ParseAmount { text: text.to_owned(), kind: "size", like: "512, 64KiB, 20GB or 1.5TiB" };
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let number: f64 = trimmed[..digits].parse().map_err(|_| wrong())?;
    let unit: f64 = match trimmed[digits..].trim() {
        "" | "B" => 1.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        "KiB" => 1024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        "TiB" => 1_099_511_627_776.0,
        _ => return Err(wrong()),
    };
    let bytes = number * unit;
    if bytes > 9e18 { Err(wrong()) } else { Ok(bytes.round() as u64) }
}

/// The shortest exact form of a duration that [`parse_duration`] reads back: `1h30m`, `2s`, `250ms`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut millis = duration.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        if millis >= size {
            text.push_str(&format!("{}{unit}", millis / size));
            millis %= size;
        }
    }
    text
}

/// A size for people: `1.4 GiB`.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut amount = bytes as f64;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < units.len() {
        amount /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{amount:.1} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "90", "1x", "h", "-1s", "999999999999999d"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_tell_decimal_from_binary_units() {
        assert_eq!(parse_size("1KiB"), Ok(1024));
        assert_eq!(parse_size("1.5 GB"), Ok(1_500_000_000));
        assert!(parse_size("12 parsecs").is_err());
    }

    proptest! {
        #[test]
        fn a_printed_duration_reads_back(millis in 0u64..10_000_000_000) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in ".{0,24}") {
            let _ = parse_duration(&text);
            let _ = parse_size(&text);
        }
    }
}
