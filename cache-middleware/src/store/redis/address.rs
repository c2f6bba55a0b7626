//! Where Redis is: one server, a cluster, or whoever the sentinels say is the master.

use std::path::PathBuf;

use redis::io::tcp::TcpSettings;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

/// Files in PEM format for `rediss://`.
#[derive(Debug, Clone, Default)]
pub(super) struct TlsFiles {
    /// The certificates to trust instead of the system's.
    pub(super) ca: Option<PathBuf>,
    /// The certificate of this client, and its key.
    pub(super) client: Option<(PathBuf, PathBuf)>,
}

/// Where Redis is. It may hold a password, and is never printed whole.
#[derive(Clone)]
pub(super) enum Address {
    Server(ConnectionInfo),
    /// Some nodes of it; the others are found.
    Cluster(Vec<ConnectionInfo>),
    Sentinel(SentinelAddress),
}

#[derive(Clone)]
pub(super) struct SentinelAddress {
    pub(super) sentinels: Vec<ConnectionInfo>,
    pub(super) master: String,
    /// How to connect to the master, but for its host and port.
    pub(super) server: ConnectionInfo,
}

impl Address {
    /// Reads an address. An error never repeats it.
    pub(super) fn parse(url: &str, tls: &TlsFiles) -> Result<Self, String> {
        if url.starts_with("redis+sentinel://") || url.starts_with("rediss+sentinel://") {
            return SentinelAddress::parse(url, tls).map(Self::Sentinel);
        }
        let mut servers = Vec::new();
        for part in url.split(',').map(str::trim) {
            servers.push(server(&inherit(url, part), tls)?);
        }
        if servers.len() > 1 && servers.iter().any(|info| info.redis_settings().db() != 0) {
            return Err("a cluster has no databases: leave the number out".to_owned());
        }
        match servers.len() {
            1 => servers.pop().map(Self::Server).ok_or_else(|| "it is empty".to_owned()),
            _ => Ok(Self::Cluster(servers)),
        }
    }

    /// Hosts and ports, for the log.
    pub(super) fn shown(&self) -> String {
        let all =
            |infos: &[ConnectionInfo]| infos.iter().map(|info| info.addr().to_string()).collect::<Vec<_>>().join(", ");
        match self {
            Self::Server(info) => info.addr().to_string(),
            Self::Cluster(seeds) => format!("the cluster of {}", all(seeds)),
            Self::Sentinel(sentinel) => format!("{} (by the sentinels {})", sentinel.master, all(&sentinel.sentinels)),
        }
    }
}

impl SentinelAddress {
    fn parse(url: &str, tls: &TlsFiles) -> Result<Self, String> {
        let secure = url.starts_with("rediss");
        let scheme = if secure { "rediss" } else { "redis" };
        let (_, rest) = url.split_once("://").unwrap_or_default();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, path) = rest.split_once('/').ok_or("the name of the master is missing after the sentinels")?;
        let (login, hosts) = hosts.rsplit_once('@').map_or(("", hosts), |(login, hosts)| (login, hosts));
        let (master, database) = path.split_once('/').unwrap_or((path, "0"));
        if master.is_empty() {
            return Err("the name of the master is missing after the sentinels".to_owned());
        }
        let sentinel_login = match query.split_once('=') {
            Some(("sentinel_password", password)) => format!(":{password}@"),
            None if query.is_empty() => String::new(),
            _ => return Err("after ? only sentinel_password=.. is known".to_owned()),
        };
        let sentinels = hosts
            .split(',')
            .map(|host| {
                let port = if has_port(host) { "" } else { ":26379" };
                server(&format!("{scheme}://{sentinel_login}{host}{port}"), tls)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let login = if login.is_empty() { String::new() } else { format!("{login}@") };
        let server = server(&format!("{scheme}://{login}localhost:6379/{database}"), tls)?;
        Ok(Self { sentinels, master: master.to_owned(), server })
    }
}

/// A later part of a list of servers may leave out what the first one says: scheme, user and password.
fn inherit(url: &str, part: &str) -> String {
    if part.contains("://") {
        return part.to_owned();
    }
    let first = url.split(',').next().unwrap_or_default();
    // The first one has nobody to inherit from.
    let Some((scheme, rest)) = first.split_once("://") else { return part.to_owned() };
    let login = rest.rsplit_once('@').map(|(login, _)| format!("{login}@")).unwrap_or_default();
    format!("{scheme}://{login}{part}")
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':')
        .is_some_and(|(before, port)| !port.ends_with(']') && (!before.contains(':') || before.ends_with(']')))
}

fn server(url: &str, tls: &TlsFiles) -> Result<ConnectionInfo, String> {
    if url.starts_with("rediss://") && cfg!(not(feature = "tls")) {
        return Err("rediss:// needs the feature `tls` of cache-middleware".to_owned());
    }
    if !url.contains("://") {
        return Err("it begins with no scheme, such as redis://".to_owned());
    }
    let info = url.into_connection_info().map_err(|error| error.to_string())?;
    // Signals come as RESP3 pushes, in the order of the replies beside them.
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let tcp = TcpSettings::default().set_nodelay(true);
    with_certificates(info.set_redis_settings(settings).set_tcp_settings(tcp), tls)
}

/// The same way to connect, to another host.
pub(super) fn elsewhere(info: &ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
    let host = host.to_owned();
    let addr = match info.addr().clone() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure, tls_params }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    info.clone().set_addr(addr)
}

/// The host of an address; the path of a socket has none.
pub(super) fn host(info: &ConnectionInfo) -> &str {
    match info.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host,
        _ => "",
    }
}

#[cfg(not(feature = "tls"))]
fn with_certificates(info: ConnectionInfo, tls: &TlsFiles) -> Result<ConnectionInfo, String> {
    if tls.ca.is_some() || tls.client.is_some() {
        return Err("certificates need the feature `tls` of cache-middleware".to_owned());
    }
    Ok(info)
}

#[cfg(feature = "tls")]
fn with_certificates(info: ConnectionInfo, tls: &TlsFiles) -> Result<ConnectionInfo, String> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|error| format!("the certificate file {} cannot be read ({error})", path.display()))
    };
    if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        if tls.ca.is_some() || tls.client.is_some() {
            return Err("certificates are given, but it is redis:// and not rediss://".to_owned());
        }
        return Ok(info);
    }
    // An application that has chosen a provider keeps it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let root_cert = tls.ca.as_ref().map(read).transpose()?;
    let client_tls = match &tls.client {
        Some((cert, key)) => Some(redis::ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? }),
        None => None,
    };
    let client = redis::Client::build_with_tls(info, redis::TlsCertificates { client_tls, root_cert })
        .map_err(|error| format!("the certificates are refused ({error})"))?;
    Ok(client.get_connection_info().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, String> {
        Address::parse(url, &TlsFiles::default())
    }

    #[test]
    fn addresses_are_read_and_shown_without_secrets() {
        for (url, shown) in [
            ("redis://h", "h:6379"),
            ("redis://u:secret@h:7/1", "h:7"),
            ("redis://:secret@a:1,b:2,redis://c:3", "the cluster of a:1, b:2, c:3"),
            ("redis+sentinel://u:secret@a,b:1/main/2?sentinel_password=secret", "main (by the sentinels a:26379, b:1)"),
            ("redis+sentinel://[::1]/main", "main (by the sentinels ::1:26379)"),
        ] {
            assert_eq!(parse(url).ok().unwrap().shown(), shown);
        }
        let Ok(Address::Cluster(seeds)) = parse("redis://u:secret@a:1,b:2") else { panic!("a cluster") };
        assert_eq!(seeds[1].redis_settings().password(), Some("secret"));
        let Ok(Address::Sentinel(sentinel)) = parse("redis+sentinel://u:secret@a/main/2") else { panic!("a sentinel") };
        assert_eq!(sentinel.server.redis_settings().password(), Some("secret"));
        assert_eq!(sentinel.sentinels[0].redis_settings().password(), None);
        assert_eq!(sentinel.server.redis_settings().db(), 2);
    }

    #[test]
    fn what_is_no_address_is_refused_without_repeating_it() {
        for (url, expected) in [
            ("hunter2", ""),
            ("redis://a/1,redis://b/1", "no databases"),
            ("redis+sentinel://:hunter2@a", "the name of the master"),
            ("redis+sentinel://:hunter2@a/", "the name of the master"),
            ("redis+sentinel://:hunter2@a/m?x=y", "sentinel_password"),
        ] {
            let error = parse(url).err().unwrap();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        }
    }
}
