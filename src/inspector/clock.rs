//! Times as they are shown and typed: UTC, the Gregorian calendar, microseconds since the Unix epoch.
//! Pure.
//!
//! There is no other time zone here: journals of several machines are compared, and a time that means
//! the same everywhere can be pasted.

use std::str::FromStr;

/// Microseconds of a second.
pub const SECOND: u64 = 1_000_000;
/// Microseconds of a day.
const DAY: u64 = 86_400 * SECOND;

/// Year, month, day of a day since 1970-01-01 in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Counted in years that begin in March, so that the leap day comes last; eras of 400 years.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// Days since 1970-01-01 of a date that there is, from 1970 to 9999; none for any other.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted_year / 400, shifted_year % 400);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
    (civil(days) == (year, month, day)).then_some(days)
}

/// `2026-03-14T09:21:07.114Z`.
pub fn timestamp(micros: u64) -> String {
    let (year, month, day) = civil(micros / DAY);
    if year > 9999 {
        return long_timestamp(micros);
    }
    // A dump has one for each record: put down as it stands, and not digit by digit into a text that grows.
    let digit = |number: u64| b'0' + (number % 10) as u8;
    let seconds = micros / SECOND;
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let milli = micros / 1_000 % 1_000;
    let text = [
        digit(year / 1_000),
        digit(year / 100),
        digit(year / 10),
        digit(year),
        b'-',
        digit(month / 10),
        digit(month),
        b'-',
        digit(day / 10),
        digit(day),
        b'T',
        digit(hour / 10),
        digit(hour),
        b':',
        digit(minute / 10),
        digit(minute),
        b':',
        digit(second / 10),
        digit(second),
        b'.',
        digit(milli / 100),
        digit(milli / 10),
        digit(milli),
        b'Z',
    ];
    String::from_utf8(text.to_vec()).unwrap_or_default()
}

/// The same of a year that has more than four digits.
fn long_timestamp(micros: u64) -> String {
    let (year, month, day) = civil(micros / DAY);
    let mut text = String::with_capacity(32);
    digits(&mut text, year, 4);
    text.push('-');
    digits(&mut text, month, 2);
    text.push('-');
    digits(&mut text, day, 2);
    text.push('T');
    time(&mut text, micros);
    text.push('Z');
    text
}

/// `03-14 09:21:07.114`: what a table has room for.
pub fn short_time(micros: u64) -> String {
    let mut text = String::with_capacity(18);
    let (_, month, day) = civil(micros / DAY);
    digits(&mut text, month, 2);
    text.push('-');
    digits(&mut text, day, 2);
    text.push(' ');
    time(&mut text, micros);
    text
}

fn time(text: &mut String, micros: u64) {
    let seconds = micros / SECOND;
    digits(text, seconds / 3_600 % 24, 2);
    text.push(':');
    digits(text, seconds / 60 % 60, 2);
    text.push(':');
    digits(text, seconds % 60, 2);
    text.push('.');
    digits(text, micros % SECOND / 1_000, 3);
}

/// At least so many digits. By hand, because each record of a dump has a time.
fn digits(text: &mut String, number: u64, at_least: usize) {
    let mut reversed = [b'0'; 20];
    let (mut rest, mut used) = (number, 0);
    for digit in &mut reversed {
        if rest == 0 && used >= at_least {
            break;
        }
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        used += 1;
    }
    let shown = reversed.iter().take(used).rev();
    text.extend(shown.map(|digit| char::from(*digit)));
}

/// `1.5 s`, `578 ms`, `3 h 20 min`: a time between two records.
pub fn duration(micros: u64) -> String {
    let seconds = micros / SECOND;
    match micros {
        0 => "0 ms".to_owned(),
        1..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", micros / 1_000),
        _ if seconds < 60 => format!("{}.{} s", seconds, micros % SECOND / 100_000),
        _ if seconds < 3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ if seconds < 86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} days {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A time as a person types it.
///
/// * `2026-03-14T09:21:07.114Z`, with a space instead of the `T`, without the `Z`, or cut after any part
/// * `09:21:07.114`, `09:21:07` or `09:21`: on the day of the newest record
/// * `-90s`, `-15m`, `-2h`, `-3d`: before now
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Microseconds since the Unix epoch.
    At(u64),
    /// Microseconds since midnight, on the day of the newest record.
    TimeOfDay(u64),
    /// Microseconds before now.
    Ago(u64),
}

impl Moment {
    /// Microseconds since the Unix epoch, if the newest record is from `newest_micros` and it is
    /// `now_micros` now.
    pub const fn micros(self, newest_micros: u64, now_micros: u64) -> u64 {
        match self {
            Moment::At(micros) => micros,
            Moment::TimeOfDay(micros) => {
                (newest_micros - newest_micros % DAY).saturating_add(micros)
            }
            Moment::Ago(micros) => now_micros.saturating_sub(micros),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let moment = match text.strip_prefix('-') {
            Some(ago) => parse_ago(ago).map(Moment::Ago),
            None => match text.split_once(['T', ' ']) {
                Some((date, time)) => parse_date(date).and_then(|day| {
                    let time = parse_time(time.strip_suffix('Z').unwrap_or(time))?;
                    Some(Moment::At(day.checked_add(time)?))
                }),
                None if text.contains(':') => parse_time(text).map(Moment::TimeOfDay),
                None => parse_date(text).map(Moment::At),
            },
        };
        moment.ok_or_else(|| {
            format!(
                "{text:?} is no time; expected 2026-03-14T09:21:07, 2026-03-14, 09:21:07 (on the day of the \
                 newest record) or -2h (before now), all UTC"
            )
        })
    }
}

fn parse_ago(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number
        .parse::<u64>()
        .ok()?
        .checked_mul(seconds)?
        .checked_mul(SECOND)
}

fn parse_date(text: &str) -> Option<u64> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 {
        return None;
    }
    let number = |part: &str| part.parse::<u64>().ok();
    days(number(year)?, number(month)?, number(day)?)?.checked_mul(DAY)
}

fn parse_time(text: &str) -> Option<u64> {
    let mut parts = text.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next().unwrap_or("0"));
    let (second, fraction) = second.split_once('.').unwrap_or((second, ""));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if parts.next().is_some() || fraction.len() > 6 || !(fraction.is_empty() || is_number(fraction))
    {
        return None;
    }
    let number = |part: &str, below: u64| {
        let number = is_number(part)
            .then(|| part.parse::<u64>().ok())
            .flatten()?;
        (number < below).then_some(number)
    };
    let seconds = number(hour, 24)? * 3_600 + number(minute, 60)? * 60 + number(second, 60)?;
    let micros: u64 = format!("{fraction:0<6}").parse().ok()?;
    Some(seconds * SECOND + micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates_across_leap_years_and_centuries_and_back() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_164_799, "2024-02-28T23:59:59.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
            (1_798_761_599, "2026-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(timestamp(seconds * SECOND), expected);
            assert_eq!(expected.parse(), Ok(Moment::At(seconds * SECOND)));
        }
        assert_eq!(short_time(951_782_400_114_999), "02-29 00:00:00.114");
        // The largest value that a header can carry is no reason to fail.
        assert!(timestamp(u64::MAX).ends_with('Z'));
        // Both ways of writing it say the same; a prime number of microseconds apart, through many centuries.
        let times = (0..200_000_u64).map(|step| step * 1_201_000_008_407);
        for micros in times.filter(|micros| *micros < 8_000 * 365 * DAY) {
            assert_eq!(timestamp(micros), long_timestamp(micros), "{micros}");
        }
    }

    #[test]
    fn a_person_may_leave_out_what_is_clear() {
        let at = |text: &str| {
            text.parse::<Moment>()
                .map(|moment| moment.micros(3 * DAY + 5, 10 * DAY))
        };
        assert_eq!(at("1970-01-02"), Ok(DAY));
        assert_eq!(at("1970-01-02 00:01"), Ok(DAY + 60 * SECOND));
        assert_eq!(at("00:00:01.5"), Ok(3 * DAY + 1_500_000));
        assert_eq!(at("-2h"), Ok(10 * DAY - 7_200 * SECOND));
        for wrong in [
            "",
            "-",
            "-2y",
            "2026",
            "2026-02-30",
            "24:00",
            "1:2:3:4",
            "09:21:07.1234567",
            "T",
            "12",
            "-ä",
        ] {
            assert!(at(wrong).is_err(), "{wrong:?} was taken for a time");
        }
    }

    #[test]
    fn a_duration_is_short_at_every_magnitude() {
        assert_eq!(duration(578_000), "578 ms");
        assert_eq!(duration(1_500_000), "1.5 s");
        assert_eq!(duration(12_000 * SECOND), "3 h 20 min");
        assert_eq!(duration(DAY * 3), "3 days 0 h");
    }
}
