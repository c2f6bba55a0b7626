//! Settings from the environment, each with a default that needs nothing else.

use std::path::PathBuf;
use std::time::Duration;

use crate::wrapper::Delay;

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
    /// `WRAPPER_URL`: where the wrapper is; without it there is one inside.
    pub(crate) wrapper_url: Option<String>,
    /// `WRAPPER_DATABASE_URL`; without it, beside the file of `DATABASE_URL`, so that who shares the one shares the other.
    pub(crate) wrapper_database: DatabaseUrl,
    /// `WRAPPER_DELAY_MS`: how long the wrapper takes to answer.
    pub(crate) wrapper_delay: Delay,
    /// `DEMO_DELAY_MS`: how long every handler waits between its database read and its answer.
    pub(crate) delay: Duration,
    /// `ADMIN_TOKEN`: who shows it sees the health of the cache and its dashboard; without it nobody does.
    pub(crate) admin_token: Option<String>,
    /// `DEMO_ENDS_WITH_INPUT`: a node of a fleet ends with whoever started it.
    pub(crate) ends_with_input: bool,
}

impl Settings {
    /// Those of the service.
    pub(crate) fn from_env() -> Result<Self, String> {
        Self::read(from_env, "127.0.0.1:8080")
    }

    /// Those of the wrapper alone.
    pub(crate) fn of_wrapper() -> Result<Self, String> {
        Self::read(from_env, "127.0.0.1:8090")
    }

    fn read(variable: impl Fn(&str) -> Option<String>, default_bind: &str) -> Result<Self, String> {
        let bind = variable("BIND").unwrap_or_else(|| default_bind.to_owned());
        let bind = bind.parse().map_err(|_| format!("BIND={bind:?} is not an address such as {default_bind}"))?;
        let database = self::database(&variable, "DATABASE_URL")?;
        let wrapper_database = match (self::database(&variable, "WRAPPER_DATABASE_URL")?, &database) {
            (DatabaseUrl::Memory, DatabaseUrl::File(file)) if variable("WRAPPER_DATABASE_URL").is_none() => {
                let mut beside = file.clone().into_os_string();
                beside.push(".wrapper");
                DatabaseUrl::File(beside.into())
            }
            (given, _) => given,
        };
        let wrapper_delay = match variable("WRAPPER_DELAY_MS") {
            None => Delay(50, 100),
            Some(text) => delay_of(&text).ok_or_else(|| {
                format!("WRAPPER_DELAY_MS={text:?} is not a number of milliseconds up to 60000, or two such as 50-100")
            })?,
        };
        let delay = match variable("DEMO_DELAY_MS") {
            None => Duration::ZERO,
            Some(text) => match text.parse() {
                Ok(milliseconds) if milliseconds <= 600_000 => Duration::from_millis(milliseconds),
                _ => return Err(format!("DEMO_DELAY_MS={text:?} is not a number of milliseconds up to 600000")),
            },
        };
        Ok(Self {
            bind,
            database,
            wrapper_url: variable("WRAPPER_URL"),
            wrapper_database,
            wrapper_delay,
            delay,
            admin_token: admin_token(&variable)?,
            ends_with_input: variable("DEMO_ENDS_WITH_INPUT").is_some(),
        })
    }
}

fn from_env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn database(variable: &impl Fn(&str) -> Option<String>, name: &str) -> Result<DatabaseUrl, String> {
    let Some(url) = variable(name) else { return Ok(DatabaseUrl::Memory) };
    match url.strip_prefix("sqlite:") {
        Some(":memory:" | "//:memory:") => Ok(DatabaseUrl::Memory),
        Some(path) if path.starts_with("//") && path.len() > 2 => Ok(DatabaseUrl::File(path[2..].into())),
        _ => Err(format!("{name}={url:?} is not accepted: write sqlite://file or sqlite::memory:")),
    }
}

/// A token that is long enough not to be guessed.
fn admin_token(variable: &impl Fn(&str) -> Option<String>) -> Result<Option<String>, String> {
    match variable("ADMIN_TOKEN") {
        Some(token) if token.len() < 16 || !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Err("ADMIN_TOKEN is too easy to guess, or no token: it takes 16 or more visible ASCII characters"
                .to_owned())
        }
        token => Ok(token),
    }
}

/// A number of milliseconds, or from one to another.
fn delay_of(text: &str) -> Option<Delay> {
    let (least, most) = text.split_once('-').unwrap_or((text, text));
    let delay = Delay(least.trim().parse().ok()?, most.trim().parse().ok()?);
    (delay.0 <= delay.1 && delay.1 <= 60_000).then_some(delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        Settings::read(variable, "127.0.0.1:8080")
    }

    #[test]
    fn defaults_need_nothing() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.bind.to_string(), "127.0.0.1:8080");
        assert_eq!(settings.database, DatabaseUrl::Memory);
        assert_eq!(settings.delay, Duration::ZERO);
        assert_eq!(settings.wrapper_delay, Delay(50, 100));
    }

    #[test]
    fn a_file_is_found_by_its_url() {
        let settings = read(&[("DATABASE_URL", "sqlite:///var/demo.sqlite")]).unwrap();
        assert_eq!(settings.database, DatabaseUrl::File("/var/demo.sqlite".into()));
        assert_eq!(settings.wrapper_database, DatabaseUrl::File("/var/demo.sqlite.wrapper".into()));
    }

    #[test]
    fn a_token_is_long_and_never_told() {
        assert_eq!(read(&[]).unwrap().admin_token, None);
        assert!(read(&[("ADMIN_TOKEN", "0123456789abcdef")]).unwrap().admin_token.is_some());
        let refused = read(&[("ADMIN_TOKEN", "hunter2")]).unwrap_err();
        assert!(refused.contains("ADMIN_TOKEN") && !refused.contains("hunter2"), "{refused}");
    }

    #[test]
    fn wrong_values_are_refused_by_name() {
        for (name, value) in [
            ("BIND", "8080"),
            ("DATABASE_URL", "postgres://x"),
            ("DATABASE_URL", "sqlite://"),
            ("WRAPPER_DATABASE_URL", "wrapper.sqlite"),
            ("DEMO_DELAY_MS", "1s"),
            ("WRAPPER_DELAY_MS", "100-50"),
        ] {
            let refused = read(&[(name, value)]).unwrap_err();
            assert!(refused.contains(name) && refused.contains(value), "{refused}");
        }
    }
}
