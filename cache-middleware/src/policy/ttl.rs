//! TTLs: durations, and the names they are registered under.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{CacheError, ConfigError};

/// The longest TTL: 10 years.
pub const LONGEST_TTL: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// A time to live: by its name, or as it is.
///
/// ```
/// use cache_middleware::policy::Ttl;
///
/// assert_ne!(Ttl::Named("5m"), Ttl::For(std::time::Duration::from_secs(300)), "a name is looked up");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// A name registered with [`crate::CacheManagerBuilder::ttl`].
    Named(&'static str),
    /// A duration.
    For(Duration),
}

/// The registered TTLs.
#[derive(Debug, Clone)]
pub(crate) struct TtlTable {
    named: BTreeMap<String, Duration>,
}

impl TtlTable {
    pub(crate) fn new(default: Duration) -> Self {
        Self { named: BTreeMap::from([("default".to_owned(), default)]) }
    }

    pub(crate) fn insert(&mut self, name: &str, duration: Duration) {
        self.named.insert(name.to_owned(), duration);
    }

    pub(crate) fn get(&self, name: &str) -> Option<Duration> {
        self.named.get(name).copied()
    }

    /// What a name or a duration stands for.
    ///
    /// # Errors
    /// What is wrong, and what is accepted.
    pub(crate) fn resolve(&self, text: &str) -> Result<Duration, String> {
        match self.get(text) {
            Some(duration) => Ok(duration),
            None if text.starts_with(|c: char| c.is_ascii_digit()) => parse_ttl(text).map_err(|error| error.line()),
            None => Err(self.unknown(text)),
        }
    }

    /// Why there is no such name, with the one that was probably meant.
    pub(crate) fn unknown(&self, name: &str) -> String {
        let known: Vec<&str> = self.named.keys().map(String::as_str).collect();
        let hint = hint(name, &known);
        format!("no TTL is registered under {name:?}{hint} Registered: {}", known.join(", "))
    }
}

/// Reads how long entries are held in L1: a duration as a TTL is one, or `0s` for not at all.
///
/// # Errors
/// What is wrong, and what is accepted.
///
/// At work: [`parse_ttl`].
pub fn parse_l1_ttl(text: &str) -> Result<Duration, ConfigError> {
    if matches!(text, "0" | "0s") { Ok(Duration::ZERO) } else { parse_ttl(text) }
}

/// The longest that a clear may settle: what is not stored is not cached.
pub const LONGEST_SETTLE: Duration = Duration::from_secs(60);

/// Reads how long a clear settles.
///
/// # Errors
/// What is wrong, and what is accepted.
pub(crate) fn parse_settle(text: &str) -> Result<Duration, String> {
    let duration = parse_ttl(text).map_err(|error| error.line())?;
    if duration > LONGEST_SETTLE {
        return Err(format!("{text:?} is too long: a clear settles for 60s at most"));
    }
    Ok(duration)
}

/// Reads a duration such as `5m`, `1h 30m` or `500ms`.
///
/// # Errors
/// What is wrong, and what is accepted.
///
/// ```
/// use std::time::Duration;
///
/// use cache_middleware::policy::{parse_l1_ttl, parse_ttl};
///
/// assert_eq!(parse_ttl("1h 30m")?, Duration::from_secs(5_400));
/// assert!(parse_ttl("0s").is_err(), "that would be no cache");
/// assert_eq!(parse_l1_ttl("0s")?, Duration::ZERO, "and that is none on this node");
/// # Ok::<(), cache_middleware::ConfigError>(())
/// ```
pub fn parse_ttl(text: &str) -> Result<Duration, ConfigError> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration < Duration::from_millis(1) || duration > LONGEST_TTL => {
            Err(ConfigError::new(format!("{text:?} is out of range: a TTL is 1ms to 10 years")))
        }
        Ok(duration) => Ok(duration),
        Err(error) => {
            Err(ConfigError::new(format!("{text:?} is not a duration ({error}); write it as 30s, 5m, 1h 30m or 500ms")))
        }
    }
}

/// What is wrong with a wait of a name, if it is too long to be added to a time.
pub(crate) fn too_long(name: &str, wait: Duration) -> Option<String> {
    (wait > LONGEST_TTL).then(|| format!("{name} is {wait:?}: the longest wait is 10 years"))
}

/// The duration of a setting of a name.
pub(crate) fn duration_of(name: &str, text: &str) -> Result<Duration, CacheError> {
    parse_ttl(text).map_err(|error| CacheError::Invalid(error.line_of(name)))
}

/// The candidate nearest to a word, as the end of a sentence.
pub(crate) fn hint(word: &str, candidates: &[&str]) -> String {
    nearest(word, candidates).map_or_else(|| ".".to_owned(), |near| format!("; did you mean {near:?}?"))
}

/// The candidate nearest to a word, if one is near enough to have been meant.
fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(word.len()) / 6).max(2.min(word.len() / 2)))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_or_refused_with_what_is_accepted() {
        assert_eq!(parse_ttl("1h 30m").unwrap(), Duration::from_secs(5_400));
        for bad in ["", "5", "five minutes", "-5m", "0s", "11years"] {
            let refused = parse_ttl(bad).unwrap_err().to_string();
            assert!(refused.contains(&format!("{bad:?}")), "{refused}");
        }
    }

    #[test]
    fn the_name_that_was_meant_is_found() {
        assert_eq!(nearest("sesion-list", &["session-detail", "session-list"]), Some("session-list"));
        assert_eq!(nearest("x", &["session-list"]), None);
    }
}
