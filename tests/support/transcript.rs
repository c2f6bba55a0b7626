//! Plays the `curl` lines of documents, and compares what comes back with what they say.

use std::net::SocketAddr;

use crate::http_client::{Response, send};

/// A line such as `curl -i 127.0.0.1:8080/rooms/7    # fwd=uri-miss; stored`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    line: String,
    /// Which service, by the distance of its port from 8080.
    node: usize,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
    expected: String,
}

/// The `curl` lines of a text, in their order; before each there may be `//!`.
///
/// # Panics
/// If a line uses what is not known here, or does not say what comes back.
#[must_use]
pub fn asked_in(text: &str) -> Vec<Asked> {
    let lines = text.lines().map(|line| line.trim_start_matches("//!").trim());
    lines.filter(|line| line.starts_with("curl ")).map(asked).collect()
}

fn asked(line: &str) -> Asked {
    let (command, expected) = line.split_once(" # ").unwrap_or_else(|| panic!("{line:?} does not say what comes back"));
    let mut asked = Asked { line: line.to_owned(), expected: expected.trim().to_owned(), ..Asked::default() };
    let mut words = words(command).into_iter().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| panic!("{line:?}: nothing follows {word}"));
        match word.as_str() {
            "-i" | "-s" | "-si" => {}
            "-X" => asked.method = value(),
            "-H" => {
                let header = value();
                let (name, value) =
                    header.split_once(": ").unwrap_or_else(|| panic!("{line:?}: {header:?} is no header"));
                asked.headers.push((name.to_owned(), value.to_owned()));
            }
            "--json" => {
                asked.body = value();
                asked.headers.push(("content-type".to_owned(), "application/json".to_owned()));
            }
            option if option.starts_with('-') => panic!("{line:?}: {option} is not known to the test"),
            url => {
                let rest = url.strip_prefix("http://").unwrap_or(url);
                let port = rest.split('/').next().and_then(|host| host.split_once(':')?.1.parse::<usize>().ok());
                asked.node = port.unwrap_or(8080).saturating_sub(8080);
                asked.path = rest.find('/').map_or("/", |at| &rest[at..]).to_owned();
            }
        }
    }
    if asked.method.is_empty() {
        asked.method = if asked.body.is_empty() { "GET" } else { "POST" }.to_owned();
    }
    assert!(!asked.path.is_empty(), "{line:?} names no URL");
    asked
}

/// The words of a command, as a shell takes it apart: quotation marks keep spaces.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), None, false);
    for c in command.chars() {
        match (quoted, c) {
            (Some(mark), c) if c == mark => quoted = None,
            (None, '\'' | '"') => (quoted, begun) = (Some(c), true),
            (None, ' ') if begun => {
                words.push(std::mem::take(&mut word));
                begun = false;
            }
            (None, ' ') => {}
            _ => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

/// Asks one line after the other, the first address where the port is 8080, the second where it is 8081, and so on, and compares: the
/// status is a 2xx, unless the line says another first, and the rest of what it says is somewhere in the response, where `…` stands
/// for anything within a line.
///
/// # Panics
/// If something else comes back.
pub async fn play(addresses: &[SocketAddr], lines: &[Asked]) {
    for Asked { line, node, method, path, headers, body, expected } in lines {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let response = send(addresses[*node], method, path, &headers, body).await;
        let (status, text) = match expected.split_at_checked(3) {
            Some((status, rest)) if status.bytes().all(|byte| byte.is_ascii_digit()) => {
                (status.parse::<u16>().ok(), rest.trim_start_matches([':', ' ']))
            }
            _ => (None, expected.as_str()),
        };
        let is_right = status.map_or((200..300).contains(&response.status), |status| response.status == status);
        assert!(is_right && says(&response, text), "{line}\n{response:#?}");
    }
}

fn says(response: &Response, text: &str) -> bool {
    let headers = response.headers.iter().map(|(name, value)| format!("{name}: {value}"));
    let mut lines = headers.chain(response.body.lines().map(str::to_owned));
    text.is_empty() || lines.any(|line| has(&line, text))
}

/// Whether the parts of a text are in a line, in their order.
fn has(line: &str, text: &str) -> bool {
    let mut rest = line;
    text.split('…').all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_a_shell_reads_them() {
        let text = "//! curl -i 127.0.0.1:8080/a?b=c    # hit\nfoo\ncurl -X PUT -H 'x: a b' --json '{\"a\": 1}' http://h:8082/x # 400: no";
        let [get, put] = &asked_in(text)[..] else { panic!("two lines") };
        assert_eq!((get.method.as_str(), get.path.as_str(), get.expected.as_str()), ("GET", "/a?b=c", "hit"));
        assert_eq!((put.method.as_str(), put.path.as_str(), put.body.as_str()), ("PUT", "/x", "{\"a\": 1}"));
        assert_eq!((get.node, put.node), (0, 2));
        assert_eq!(put.headers[0], ("x".to_owned(), "a b".to_owned()));
    }

    #[test]
    fn dots_stand_for_anything_in_a_line() {
        assert!(has("a: hit; ttl=5; detail=l1", "hit; ttl=…; detail=l1"));
        assert!(!has("a: hit; ttl=5", "hit; ttl=…; detail=l1"));
    }
}
