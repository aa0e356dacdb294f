//! The values that a request may carry. Each value of these types can be stored on either backend.

use chrono::{DateTime, Datelike, Utc};
use serde::Deserialize;

/// An e-mail address, as far as one can tell without sending mail to it.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Email(pub String);

impl TryFrom<String> for Email {
    type Error = &'static str;

    fn try_from(email: String) -> Result<Self, Self::Error> {
        /// Octets (RFC 5321, section 4.5.3.1.3, less the angle brackets).
        const LONGEST: usize = 254;
        let has_two_sides = email
            .rsplit_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
        let is_one_word = !email.contains(|c: char| c.is_whitespace() || c.is_control());
        if has_two_sides && is_one_word && email.len() <= LONGEST {
            Ok(Self(email))
        } else {
            Err("an e-mail address looks like name@example.org")
        }
    }
}

/// The text of a to-do.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Task(pub String);

impl TryFrom<String> for Task {
    type Error = &'static str;

    fn try_from(task: String) -> Result<Self, Self::Error> {
        if task.trim().is_empty() {
            Err("a task must say something")
        } else if task.contains('\0') {
            // PostgreSQL cannot store such text.
            Err("a task cannot contain the character U+0000")
        } else {
            Ok(Self(task))
        }
    }
}

/// When a to-do is due: a year of four digits (RFC 3339), to the microsecond (PostgreSQL).
#[derive(Debug, Deserialize)]
#[serde(try_from = "DateTime<Utc>")]
pub struct Due(pub DateTime<Utc>);

impl TryFrom<DateTime<Utc>> for Due {
    type Error = &'static str;

    fn try_from(due: DateTime<Utc>) -> Result<Self, Self::Error> {
        DateTime::from_timestamp_micros(due.timestamp_micros())
            .filter(|due| (0..=9999).contains(&due.year()))
            .map(Self)
            .ok_or("a year has four digits")
    }
}

/// How many to-dos a page of the list holds.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u64")]
pub struct Limit(pub u64);

impl Limit {
    const MOST: u64 = 100;
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl TryFrom<u64> for Limit {
    type Error = String;

    fn try_from(limit: u64) -> Result<Self, Self::Error> {
        if (1..=Self::MOST).contains(&limit) {
            Ok(Self(limit))
        } else {
            Err(format!("a page holds from 1 to {} todos", Self::MOST))
        }
    }
}
