//! Sizes, durations and counts as people write and read them, texts as SQL does.

use std::time::Duration;

use crate::error::{Error, Result};

/// Columns that only rewritten statements need begin so; neither `*` nor a hint shows them.
pub const HIDDEN: &str = "__swath_hidden_";

/// Reads a size: `512MB`, `2GiB`, `1.5 gb`, `4096`. MB is 10^6 bytes, MiB is 2^20.
///
/// # Errors
/// When the text is not a number with a known unit.
pub fn parse_bytes(text: &str) -> Result<usize> {
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let factor: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        "tib" => 1024.0f64.powi(4),
        _ => return Err(bad("size", text, "512MB, 2GB or 1GiB")),
    };
    match number.parse::<f64>() {
        Ok(number) if number * factor >= 1.0 && number * factor <= 1e18 => {
            Ok((number * factor) as usize)
        }
        _ => Err(bad("size", text, "512MB, 2GB or 1GiB")),
    }
}

/// Reads a duration: `30s`, `1.5m`, `250ms`, `2h`; a bare number counts seconds.
///
/// # Errors
/// When the text is not a number with a known unit.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let seconds = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(bad("duration", text, "30s, 250ms or 2m")),
    };
    match number.parse::<f64>() {
        Ok(number) if number * seconds <= 1e9 => Ok(Duration::from_secs_f64(number * seconds)),
        _ => Err(bad("duration", text, "30s, 250ms or 2m")),
    }
}

fn bad(what: &str, text: &str, examples: &str) -> Error {
    Error::usage(format!("not a {what}: {text:?}")).hint(format!("write {examples}"))
}

/// Shows a size with three digits: `1.23 GB`.
pub fn show_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit_idx = 0;
    while value >= 999.5 && unit_idx + 1 < UNITS.len() {
        value /= 1000.0;
        unit_idx += 1;
    }
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.decimals$} {}", UNITS[unit_idx])
}

/// Shows a count with thousands set apart: `1,234,567`.
pub fn show_count(count: u64) -> String {
    let digits = count.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (idx, digit) in digits.chars().enumerate() {
        if idx > 0 && (digits.len() - idx).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// Shows a count with its noun: `1 file`, `2 files`.
pub fn show_counted(count: u64, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", show_count(count))
}

/// Shows a duration in seconds with three decimals: `1.234 s`.
pub fn show_seconds(duration: Duration) -> String {
    format!("{:.3} s", duration.as_secs_f64())
}

/// A text as SQL writes it, in single quotes.
pub fn show_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_read_as_written() {
        assert_eq!(parse_bytes("512MB").expect("size"), 512_000_000);
        assert_eq!(parse_bytes("1.5 GiB").expect("size"), 1_610_612_736);
        assert!(parse_bytes("lots").is_err());
        assert!(parse_bytes("0").is_err());
        assert_eq!(parse_duration("250ms").expect("duration"), Duration::from_millis(250));
        assert_eq!(parse_duration("2m").expect("duration"), Duration::from_secs(120));
        assert!(parse_duration("soon").is_err());
    }

    #[test]
    fn numbers_are_shown_for_people() {
        assert_eq!(show_bytes(999), "999 B");
        assert_eq!(show_bytes(1_234_567), "1.23 MB");
        assert_eq!(show_bytes(999_999), "1.00 MB");
        assert_eq!(show_count(1_234_567), "1,234,567");
        assert_eq!(show_counted(1, "file"), "1 file");
    }
}
