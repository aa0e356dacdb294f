//! Writing figures.

use crate::statistics::Summary;

/// The unit of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Given in seconds.
    Milliseconds,
    Seconds,
    /// So many times as much.
    Ratio,
    Count,
    /// Given in KiB.
    Mebibytes,
}

impl Unit {
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Milliseconds => " ms",
            Self::Seconds => " s",
            Self::Ratio => " ×",
            Self::Count => "",
            Self::Mebibytes => " MiB",
        }
    }

    /// The number that stands before the symbol.
    pub fn scaled(self, value: f64) -> f64 {
        match self {
            Self::Milliseconds => value * 1000.0,
            Self::Mebibytes => value / 1024.0,
            Self::Seconds | Self::Ratio | Self::Count => value,
        }
    }

    fn digits(self, value: f64) -> String {
        match self {
            Self::Count if value.fract() == 0.0 => grouped(&format!("{value:.0}")),
            _ => significant(self.scaled(value)),
        }
    }

    pub fn write(self, value: f64) -> String {
        self.digits(value) + self.symbol()
    }

    /// The median, with the quartiles if there are any.
    pub fn with_spread(self, summary: Summary) -> String {
        let median = self.write(summary.median);
        let (lower, upper) = (self.digits(summary.lower), self.digits(summary.upper));
        if lower == upper { median } else { format!("{median} ({lower}–{upper})") }
    }
}

/// Three significant digits.
fn significant(value: f64) -> String {
    match value.abs() {
        100.0.. => grouped(&format!("{value:.0}")),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        0.1.. => format!("{value:.3}"),
        0.01.. => format!("{value:.4}"),
        _ => format!("{value:.5}"),
    }
}

/// Turns `10000` into `10,000`.
fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_written_in_the_unit() {
        let written = [
            (Unit::Milliseconds, 0.001_234_5, "1.23 ms"),
            (Unit::Milliseconds, 1.5, "1,500 ms"),
            (Unit::Seconds, 12.345, "12.3 s"),
            (Unit::Ratio, 0.5, "0.500 ×"),
            (Unit::Seconds, 0.012_34, "0.0123 s"),
            (Unit::Count, 12_345.0, "12,345"),
            (Unit::Count, 3.5, "3.50"),
            (Unit::Mebibytes, 2048.0, "2.00 MiB"),
        ];
        for (unit, value, text) in written {
            assert_eq!(unit.write(value), text);
        }
    }

    #[test]
    fn the_spread_is_left_out_where_there_is_none() {
        let same = Summary { median: 2.0, lower: 2.0, upper: 2.0 };
        assert_eq!(Unit::Count.with_spread(same), "2");
        let spread = Summary { median: 2.0, lower: 1.0, upper: 3.0 };
        assert_eq!(Unit::Seconds.with_spread(spread), "2.00 s (1.00–3.00)");
    }
}
