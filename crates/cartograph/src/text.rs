//! Small texts: durations in and out, instants, percent-encoding, plain tables.

use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// Reads a duration such as `250ms`, `30s`, `2m` or `1h`; a bare number counts seconds.
///
/// # Errors
/// A text for the command line when it is none of these, or is longer than a week.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("`{text}` is not a duration; write for example 250ms, 30s, 2m or 1h");
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| expected())?;
    let seconds = match unit {
        "ms" => number / 1e3,
        "" | "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(expected()),
    };
    if seconds > 7.0 * 24.0 * 3600.0 {
        return Err(format!("`{text}` is longer than a week"));
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| expected())
}

/// A duration in the unit that reads best: `0.42 ms`, `12.3 ms`, `1.20 s`, `3 m 20 s`.
pub(crate) fn duration(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    if ms < 10.0 {
        format!("{ms:.2} ms")
    } else if ms < 1_000.0 {
        format!("{ms:.1} ms")
    } else if ms < 120_000.0 {
        format!("{:.2} s", ms / 1e3)
    } else {
        format!("{} m {} s", duration.as_secs() / 60, duration.as_secs() % 60)
    }
}

/// An instant, given in milliseconds since 1970, in UTC: `2026-11-21 05:05:01.123Z`.
pub(crate) fn instant(unix_ms: u64) -> String {
    let (days, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let (year, month, day) = civil(days);
    let seconds = ms / 1_000;
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{:03}Z",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60,
        ms % 1_000
    )
}

/// Year, month and day of a day counted from 1970-01-01 in the Gregorian calendar.
///
/// Counts in eras of 400 years that begin on the first of March, so that the leap day is an era's last.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// `text` as one segment of a URL path.
pub(crate) fn path_segment(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).map_or('0', |&hex| char::from(hex));
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(digit(byte >> 4));
            out.push(digit(byte & 15));
        }
    }
    out
}

/// `text` without control characters, so that what a server or another client wrote cannot drive the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// A JSON value on one line, as a person would write it: strings bare, objects as `key=value`.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => printable(text),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let pairs = fields
                .iter()
                .map(|(key, value)| format!("{}={}", printable(key), plain(value)));
            pairs.collect::<Vec<_>>().join(" ")
        }
    }
}

/// `count` things, with the plural where it belongs.
pub(crate) fn counted(count: usize, thing: &str) -> String {
    if count == 1 {
        format!("1 {thing}")
    } else {
        format!("{count} {thing}s")
    }
}

/// The last line of a list that was cut at `shown_max` of `count` items; nothing if it was not.
pub(crate) fn and_more(count: usize, shown_max: usize) -> String {
    if count > shown_max {
        format!("\n... and {} more", count - shown_max)
    } else {
        String::new()
    }
}

/// A table without lines, its columns aligned; `header` in capitals, as command lines like it.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    if !header.is_empty() {
        table.set_header(header.iter().map(|cell| cell.to_uppercase()));
    }
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn durations_are_read_in_every_unit_and_refused_with_an_example() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("1h"), Ok(Duration::from_hours(1)));
        assert_eq!(parse_duration("7"), Ok(Duration::from_secs(7)));
        for wrong in ["", "s", "-1s", "1d", "1 s", "..s", "nan"] {
            assert!(
                parse_duration(wrong).is_err_and(|text| text.contains("30s")),
                "{wrong}"
            );
        }
        assert!(parse_duration("1000h").is_err());
    }

    #[test]
    fn durations_are_written_in_the_unit_that_reads_best() {
        assert_eq!(duration(Duration::from_micros(420)), "0.42 ms");
        assert_eq!(duration(Duration::from_micros(12_340)), "12.3 ms");
        assert_eq!(duration(Duration::from_millis(1_200)), "1.20 s");
        assert_eq!(duration(Duration::from_secs(200)), "3 m 20 s");
    }

    #[test]
    fn instants_know_leap_years_and_centuries() {
        assert_eq!(instant(0), "1970-01-01 00:00:00.000Z");
        assert_eq!(instant(951_782_400_000), "2000-02-29 00:00:00.000Z");
        assert_eq!(instant(1_709_251_199_999), "2024-02-29 23:59:59.999Z");
        assert_eq!(instant(4_107_542_400_000), "2100-03-01 00:00:00.000Z");
        assert_eq!(instant(1_795_237_501_123), "2026-11-21 05:05:01.123Z");
    }

    #[test]
    fn path_segments_keep_only_what_a_path_allows() {
        assert_eq!(path_segment("OLJCESPC7Z"), "OLJCESPC7Z");
        assert_eq!(path_segment("a/b c?é"), "a%2Fb%20c%3F%C3%A9");
    }

    #[test]
    fn values_are_written_as_a_person_would() {
        assert_eq!(
            plain(&json!({"entries": 3, "cap": "1 GiB", "full": false})),
            "cap=1 GiB entries=3 full=no"
        );
        assert_eq!(plain(&json!([null, "x"])), "-, x");
        assert_eq!(plain(&json!("a\u{1b}[31mb")), "a\u{fffd}[31mb");
    }

    #[test]
    fn tables_align_without_lines_or_trailing_spaces() {
        let rows = vec![
            vec!["us".into(), "1".into()],
            vec!["europe-west1".into(), "22".into()],
        ];
        assert_eq!(
            table(&["region", "id"], rows),
            "REGION        ID\nus            1\neurope-west1  22"
        );
    }
}
