//! Settings from environment variables. A wrong value is refused with the variable's name, the value unless it may
//! hold a secret, and what is accepted.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::coherence::Coherence;
use crate::policy::{LONGEST_TTL, hint};
use crate::seal::{EncryptionKey, parse_keys};
use crate::store::{NAMESPACE_RULE, REDIS_ADDRESSES, is_namespace};

const ENCRYPTION_KEY: &str = "CACHE_ENCRYPTION_KEY";

/// These are read even if they are empty. Who sets them does not want bodies that anyone can read, nor nodes that each have a store of
/// their own and clear nothing on the others.
const NOT_EMPTY: [&str; 3] = ["REDIS_URL", "REDIS_HOST", ENCRYPTION_KEY];

/// The variables that are read.
const KNOWN: [&str; 15] = [
    "REDIS_URL",
    "REDIS_HOST",
    "REDIS_PORT",
    "REDIS_PASSWORD",
    "REDIS_TLS_CA",
    "REDIS_TLS_CERT",
    "REDIS_TLS_KEY",
    "CACHE_NAMESPACE",
    "CACHE_DEFAULT_TTL",
    "CACHE_L1_BYTES",
    "CACHE_COHERENCE",
    "CACHE_REDIS_TIMEOUT",
    "CACHE_JOURNAL",
    "CACHE_HEALTH_CHECK_INTERVAL",
    ENCRYPTION_KEY,
];

#[derive(Default)]
pub(super) struct Environment {
    pub(super) redis: Option<RedisAddress>,
    #[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "only the Redis store asks for it"))]
    pub(super) namespace: Option<String>,
    pub(super) default_ttl: Option<Duration>,
    pub(super) l1_bytes: Option<usize>,
    pub(super) coherence: Option<Coherence>,
    #[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "only the Redis store asks for it"))]
    pub(super) encryption_keys: Vec<EncryptionKey>,
    #[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "only the Redis store asks for it"))]
    pub(super) redis_timeout: Option<Duration>,
    pub(super) journal: Option<PathBuf>,
    pub(super) health_interval: Option<Duration>,
}

/// An address that may hold a password, and is therefore never printed, with the files that TLS needs.
pub(super) struct RedisAddress {
    url: String,
    pub(super) tls_ca: Option<PathBuf>,
    pub(super) tls_client: Option<(PathBuf, PathBuf)>,
}

impl RedisAddress {
    fn new(url: String) -> Self {
        Self { url, tls_ca: None, tls_client: None }
    }

    #[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "only the Redis store asks for it"))]
    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

impl Environment {
    /// Whether a variable looks like one of ours and is none.
    pub(super) fn is_unknown(name: &str) -> bool {
        name.starts_with("CACHE_") && !KNOWN.contains(&name)
    }

    /// The variable that was probably meant, as the end of a sentence.
    pub(super) fn hint(name: &str) -> String {
        hint(name, &KNOWN)
    }

    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        let [
            url,
            host,
            port,
            password,
            tls_ca,
            tls_cert,
            tls_key,
            namespace,
            ttl,
            l1_bytes,
            coherence,
            timeout,
            journal,
            health_interval,
            keys,
        ] = KNOWN.map(|name| variable(name).filter(|value| !value.is_empty() || NOT_EMPTY.contains(&name)));
        let mut problems = Vec::new();
        let redis = match (url, host) {
            (Some(_), Some(_)) => Err("REDIS_URL and REDIS_HOST are both set: set one of them".to_owned()),
            (Some(url), None) => check_url(&url).map(|()| Some(RedisAddress::new(url))),
            (None, Some(host)) => from_parts(&host, port.as_deref(), password.as_deref()).map(Some),
            (None, None) if port.is_some() || password.is_some() => {
                Err("REDIS_PORT or REDIS_PASSWORD is set without REDIS_HOST: set REDIS_HOST too, or REDIS_URL"
                    .to_owned())
            }
            (None, None) => Ok(None),
        };
        let mut redis = redis.unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        if let Some(address) = &mut redis {
            address.tls_ca = tls_ca.map(PathBuf::from);
            address.tls_client = match (tls_cert, tls_key) {
                (Some(cert), Some(key)) => Some((cert.into(), key.into())),
                (None, None) => None,
                _ => {
                    problems.push("REDIS_TLS_CERT and REDIS_TLS_KEY belong together: set both or none".to_owned());
                    None
                }
            };
        }
        let of = &mut problems;
        let l1_bytes: Option<usize> = parsed(
            "CACHE_L1_BYTES",
            l1_bytes,
            |_| true,
            "a number of bytes, such as 67108864 for 64 MiB; 0 switches L1 off",
            of,
        );
        let coherence: Option<Coherence> =
            parsed("CACHE_COHERENCE", coherence, |_| true, "a coherence: write bounded:1s (20ms to 10s) or strict", of);
        let in_ten_years = |seconds: &u64| (1..=LONGEST_TTL.as_secs()).contains(seconds);
        let default_ttl =
            parsed("CACHE_DEFAULT_TTL", ttl, in_ten_years, "a number of seconds from 1 to 10 years, such as 300", of);
        let in_ten_seconds = |ms: &u64| (1..=10_000).contains(ms);
        let redis_timeout = parsed(
            "CACHE_REDIS_TIMEOUT",
            timeout,
            in_ten_seconds,
            "a number of milliseconds from 1 to 10000, such as 50",
            of,
        );
        let in_an_hour = |ms: &u64| (100..=3_600_000).contains(ms);
        let health_interval = parsed(
            "CACHE_HEALTH_CHECK_INTERVAL",
            health_interval,
            in_an_hour,
            "a number of milliseconds from 100 to 3600000, such as 30000",
            of,
        );
        if let Some(namespace) = &namespace
            && !is_namespace(namespace)
        {
            problems.push(format!("CACHE_NAMESPACE={namespace:?} is not a namespace: {NAMESPACE_RULE}"));
        }
        let encryption_keys = keys.map_or(Ok(Vec::new()), |text| parse_keys(&text)).unwrap_or_else(|error| {
            problems.push(format!("{ENCRYPTION_KEY} is not accepted: {}", error.line()));
            Vec::new()
        });
        let read = Self {
            encryption_keys,
            redis,
            namespace,
            default_ttl: default_ttl.map(Duration::from_secs),
            l1_bytes,
            coherence,
            redis_timeout: redis_timeout.map(Duration::from_millis),
            journal: journal.map(PathBuf::from),
            health_interval: health_interval.map(Duration::from_millis),
        };
        if problems.is_empty() { Ok(read) } else { Err(problems) }
    }
}

/// The value of a variable that is set and right; otherwise what is wrong is among the problems.
fn parsed<T: FromStr>(
    name: &str,
    text: Option<String>,
    is_right: impl Fn(&T) -> bool,
    expected: &str,
    problems: &mut Vec<String>,
) -> Option<T> {
    let text = text?;
    let value = text.parse().ok().filter(is_right);
    if value.is_none() {
        problems.push(format!("{name}={text:?} is not {expected}"));
    }
    value
}

fn check_url(url: &str) -> Result<(), String> {
    if url.is_empty() {
        return Err("REDIS_URL is set and empty: give it an address, or unset it for the embedded store".to_owned());
    }
    // Of anything but a scheme, any part may be a secret.
    let is_scheme = |text: &str| text.len() <= 16 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'+');
    match url.split_once("://") {
        Some(("redis" | "rediss" | "redis+sentinel" | "rediss+sentinel", _)) => Ok(()),
        Some((scheme, _)) if is_scheme(scheme) => {
            Err(format!("REDIS_URL begins with {scheme}://, which is not accepted: write {REDIS_ADDRESSES}"))
        }
        _ => Err(format!("REDIS_URL begins with no scheme: write {REDIS_ADDRESSES}")),
    }
}

fn from_parts(host: &str, port: Option<&str>, password: Option<&str>) -> Result<RedisAddress, String> {
    if host.is_empty() {
        return Err("REDIS_HOST is set and empty: give it a name, or unset it for the embedded store".to_owned());
    }
    if host.contains(['/', '@', ' ']) {
        return Err("REDIS_HOST is not a host name or address, such as redis.internal: it has a /, an @ or a space; a whole address goes \
                    into REDIS_URL"
            .to_owned());
    }
    if let Some((name, port)) = host.split_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()) {
        return Err(format!("REDIS_HOST={host:?} has a port: set REDIS_HOST={name} and REDIS_PORT={port}"));
    }
    let port = port.unwrap_or("6379");
    if !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(format!("REDIS_PORT={port:?} is not a port from 1 to 65535"));
    }
    let userinfo = password.map(|password| format!(":{}@", crate::tag::escape(password))).unwrap_or_default();
    // An IPv6 address is told from its port by brackets.
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
    Ok(RedisAddress::new(format!("redis://{userinfo}{host}:{port}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Environment, Vec<String>> {
        Environment::read(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn addresses_are_put_together() {
        assert!(read(&[]).unwrap().redis.is_none());
        let url = |variables: &[_]| read(variables).ok().unwrap().redis.unwrap().url;
        assert_eq!(url(&[("REDIS_URL", "redis://h:1")]), "redis://h:1");
        assert_eq!(url(&[("REDIS_HOST", "h")]), "redis://h:6379");
        assert_eq!(
            url(&[("REDIS_HOST", "::1"), ("REDIS_PORT", "7"), ("REDIS_PASSWORD", "p@/ß")]),
            "redis://:p@%2F%C3%9F@[::1]:7"
        );
    }

    #[test]
    fn wrong_values_are_named_without_their_secrets() {
        for (variables, expected) in [
            (&[("REDIS_URL", "http://:hunter2@h")][..], "REDIS_URL begins with http://, "),
            (&[("REDIS_URL", "sentinel://h/main?sentinel_password=hunter2")], "REDIS_URL begins with sentinel://, "),
            (&[("REDIS_URL", "h:6379/0?password=hunter2")], "REDIS_URL begins with no scheme"),
            (&[("REDIS_URL", "default:hunter2@h1:6379,redis://h2:6379")], "REDIS_URL begins with no scheme"),
            (&[("REDIS_URL", "user:hunter2@h?x=http://y")], "REDIS_URL begins with no scheme"),
            (&[("REDIS_HOST", "hunter2@h")], "a whole address goes into REDIS_URL"),
            (&[("REDIS_HOST", "hunter2@h:6379")], "a whole address goes into REDIS_URL"),
            (&[("REDIS_URL", "redis://h"), ("REDIS_TLS_CERT", "x")], "REDIS_TLS_KEY belong together"),
            (&[("CACHE_L1_BYTES", "100MB")], "CACHE_L1_BYTES=\"100MB\""),
            (&[("CACHE_REDIS_TIMEOUT", "50ms")], "CACHE_REDIS_TIMEOUT=\"50ms\""),
            (&[("CACHE_COHERENCE", "soon")], "CACHE_COHERENCE=\"soon\""),
            (&[("CACHE_COHERENCE", "bounded:1h")], "20ms to 10s"),
            (&[("REDIS_HOST", "h"), ("REDIS_PORT", "x")], "REDIS_PORT=\"x\""),
            (&[("REDIS_PASSWORD", "hunter2")], "without REDIS_HOST"),
            (&[("CACHE_DEFAULT_TTL", "5m")], "CACHE_DEFAULT_TTL=\"5m\""),
            (&[("CACHE_HEALTH_CHECK_INTERVAL", "30s")], "CACHE_HEALTH_CHECK_INTERVAL=\"30s\""),
            (&[("CACHE_NAMESPACE", "a b")], "CACHE_NAMESPACE=\"a b\""),
            (&[("REDIS_HOST", "h"), ("REDIS_PORT", "0")], "REDIS_PORT=\"0\""),
            (&[("REDIS_HOST", "h"), ("REDIS_URL", "redis://h")], "both set"),
            (&[("CACHE_ENCRYPTION_KEY", "")], "CACHE_ENCRYPTION_KEY is not accepted: an encryption key"),
            (&[("CACHE_ENCRYPTION_KEY", "hunter2")], "CACHE_ENCRYPTION_KEY is not accepted: an encryption key"),
        ] {
            let problems = read(variables).err().unwrap().join("\n");
            assert!(problems.contains(expected), "{problems}");
            assert!(!problems.contains("hunter2"), "{problems}");
        }
    }
}
