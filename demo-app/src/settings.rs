//! Settings from the environment, each with a default that needs nothing else.

use std::path::PathBuf;
use std::time::Duration;

/// Where the data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DatabaseUrl {
    /// In the memory of this process.
    Memory,
    /// In a file, which several instances may share.
    File(PathBuf),
}

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// `BIND`
    pub(crate) bind: std::net::SocketAddr,
    /// `DATABASE_URL`
    pub(crate) database: DatabaseUrl,
    /// `DEMO_DELAY_MS`: how long every handler waits between its database read and its answer.
    pub(crate) delay: Duration,
    /// `DEMO_ENDS_WITH_INPUT`: a node of a fleet ends with whoever started it.
    pub(crate) ends_with_input: bool,
}

impl Settings {
    pub(crate) fn from_env() -> Result<Self, String> {
        Self::read(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let bind = variable("BIND").unwrap_or_else(|| "127.0.0.1:8080".to_owned());
        let bind = bind.parse().map_err(|_| format!("BIND={bind:?} is not an address such as 127.0.0.1:8080"))?;
        let database = match variable("DATABASE_URL") {
            None => DatabaseUrl::Memory,
            Some(url) => match url.strip_prefix("sqlite:") {
                Some(":memory:" | "//:memory:") => DatabaseUrl::Memory,
                Some(path) if path.starts_with("//") && path.len() > 2 => DatabaseUrl::File(path[2..].into()),
                _ => {
                    return Err(format!(
                        "DATABASE_URL={url:?} is not accepted: write sqlite://file or sqlite::memory:"
                    ));
                }
            },
        };
        let delay = match variable("DEMO_DELAY_MS") {
            None => Duration::ZERO,
            Some(text) => match text.parse() {
                Ok(milliseconds) if milliseconds <= 600_000 => Duration::from_millis(milliseconds),
                _ => return Err(format!("DEMO_DELAY_MS={text:?} is not a number of milliseconds up to 600000")),
            },
        };
        Ok(Self { bind, database, delay, ends_with_input: variable("DEMO_ENDS_WITH_INPUT").is_some() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
        Settings::read(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn defaults_need_nothing() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.bind.to_string(), "127.0.0.1:8080");
        assert_eq!(settings.database, DatabaseUrl::Memory);
        assert_eq!(settings.delay, Duration::ZERO);
    }

    #[test]
    fn a_file_is_found_by_its_url() {
        let settings = read(&[("DATABASE_URL", "sqlite:///var/demo.sqlite")]).unwrap();
        assert_eq!(settings.database, DatabaseUrl::File("/var/demo.sqlite".into()));
    }

    #[test]
    fn wrong_values_are_refused_by_name() {
        for (name, value) in
            [("BIND", "8080"), ("DATABASE_URL", "postgres://x"), ("DATABASE_URL", "sqlite://"), ("DEMO_DELAY_MS", "1s")]
        {
            let refused = read(&[(name, value)]).unwrap_err();
            assert!(refused.contains(name) && refused.contains(value), "{refused}");
        }
    }
}
