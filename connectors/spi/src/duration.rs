//! Durations as configuration and settings write them.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// Reads `500ms`, `5s`, `2m` (or `2min`) or `1h`; `None` for anything else, a bare number included.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at(text.find(|character: char| !character.is_ascii_digit())?);
    let millis_per_unit = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let millis = digits.parse::<u64>().ok()?.checked_mul(millis_per_unit)?;
    Some(Duration::from_millis(millis))
}

/// Writes a duration as [`parse_duration`] reads it, in the largest unit that is whole; parts of a millisecond are cut.
pub fn duration_text(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let whole = |(unit, name): &(u128, &str)| {
        // A minute alone is rather written in seconds.
        millis.is_multiple_of(*unit) && (*name != "m" || millis > *unit)
    };
    match units.into_iter().find(whole) {
        _ if millis == 0 => "0s".to_owned(),
        Some((unit, name)) => format!("{}{name}", millis / unit),
        None => format!("{millis}ms"),
    }
}

/// For `#[serde(deserialize_with = "deserialize_duration")]`.
pub fn deserialize_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).ok_or_else(|| {
        de::Error::custom(format!(
            "\"{text}\" is not a duration such as \"500ms\", \"5s\" or \"2m\""
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["0s", "250ms", "1500ms", "5s", "60s", "2m", "1h", "36h"] {
            assert_eq!(duration_text(parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("2min"), Some(Duration::from_secs(120)));
        assert_eq!(parse_duration("5 s"), Some(Duration::from_secs(5)));
        assert_eq!(parse_duration("1h"), Some(Duration::from_secs(3600)));
        for wrong in ["", "s", "-1s", "5", "5 weeks", "99999999999999999999s", "1.5s"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }
}
