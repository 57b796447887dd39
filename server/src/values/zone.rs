//! Time zones: from UTC to local time and back, as PostgreSQL chooses where the clock is changed.

use chrono::offset::Offset;
use chrono::{DateTime, Duration, LocalResult, NaiveDateTime, TimeZone};
use chrono_tz::Tz;

/// Longest distance between a local time that does not exist and one just before it that does.
const BEFORE_GAP: Duration = Duration::hours(24);

/// The zone with the name `name`, in any case.
pub(crate) fn by_name(name: &str) -> Option<Tz> {
    let found = chrono_tz::TZ_VARIANTS
        .iter()
        .find(|zone| zone.name().eq_ignore_ascii_case(name));
    found.copied()
}

/// Seconds east of UTC in `zone` at a moment in microseconds since 1970.
pub(crate) fn offset_at(zone: Tz, utc: i64) -> i32 {
    match DateTime::from_timestamp_micros(utc) {
        Some(moment) => zone
            .offset_from_utc_datetime(&moment.naive_utc())
            .fix()
            .local_minus_utc(),
        None => 0,
    }
}

/// The local time in `zone` at a moment: both in microseconds since 1970.
pub(crate) fn to_local(zone: Tz, utc: i64) -> i64 {
    utc.saturating_add(i64::from(offset_at(zone, utc)) * 1_000_000)
}

/// The moment at which it is `local` in `zone`. A local time that is there twice is the later one; one that is skipped is
/// told with the offset from before.
pub(crate) fn to_utc(zone: Tz, local: i64) -> i64 {
    let Some(wall) = DateTime::from_timestamp_micros(local).map(|moment| moment.naive_utc()) else {
        return local;
    };
    local.saturating_sub(i64::from(offset_of_local(zone, wall)) * 1_000_000)
}

fn offset_of_local(zone: Tz, wall: NaiveDateTime) -> i32 {
    let seconds = |moment: DateTime<Tz>| moment.offset().fix().local_minus_utc();
    match zone.from_local_datetime(&wall) {
        LocalResult::Single(moment) => seconds(moment),
        LocalResult::Ambiguous(_, later) => seconds(later),
        LocalResult::None => {
            let before = wall.checked_sub_signed(BEFORE_GAP).unwrap_or(wall);
            zone.from_local_datetime(&before).latest().map_or(0, seconds)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> i64 {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M")
            .unwrap()
            .and_utc()
            .timestamp_micros()
    }

    #[test]
    fn the_clock_changes_as_in_postgres() {
        let berlin = by_name("europe/berlin").unwrap();
        for (local, utc) in [
            ("2024-01-01 12:00", "2024-01-01 11:00"),
            ("2024-07-01 12:00", "2024-07-01 10:00"),
            ("2024-03-31 01:59", "2024-03-31 00:59"),
            ("2024-03-31 02:30", "2024-03-31 01:30"),
            ("2024-03-31 03:00", "2024-03-31 01:00"),
            ("2024-10-27 01:59", "2024-10-26 23:59"),
            ("2024-10-27 02:30", "2024-10-27 01:30"),
            ("2024-10-27 03:00", "2024-10-27 02:00"),
        ] {
            assert_eq!(to_utc(berlin, micros(local)), micros(utc), "{local}");
        }
        for (utc, local) in [
            ("2024-03-31 00:59", "2024-03-31 01:59"),
            ("2024-03-31 01:00", "2024-03-31 03:00"),
            ("2024-10-27 00:30", "2024-10-27 02:30"),
            ("2024-10-27 01:30", "2024-10-27 02:30"),
        ] {
            assert_eq!(to_local(berlin, micros(utc)), micros(local), "{utc}");
        }
    }
}
