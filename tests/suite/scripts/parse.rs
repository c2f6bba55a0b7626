//! Scripts into steps.

use std::time::Duration;

use actix_web::http::header::HttpDate;

#[derive(Debug)]
pub(super) struct Script {
    pub(super) app: String,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug)]
pub(super) enum Step {
    Handler(Message),
    Send(Vec<u8>),
    Expect(Message),
    Saw(Message),
    Wait(Duration),
    Settle,
}

/// A status line or what stands for one, header lines, and a body if there is an empty line before it.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) first: String,
    pub(super) lines: Vec<Vec<u8>>,
    pub(super) body: Option<Vec<u8>>,
}

pub(super) fn script(text: &str) -> Script {
    let mut script = Script { app: "policy".to_owned(), steps: Vec::new() };
    for section in text.split("\n== ").skip(1) {
        let (title, content) = section.split_once('\n').unwrap_or((section, ""));
        let content = content.strip_suffix('\n').unwrap_or(content);
        let step = match title.trim().split_once(' ').unwrap_or((title.trim(), "")) {
            ("app", app) => {
                script.app = app.to_owned();
                continue;
            }
            ("handler", "saw") => Step::Saw(message(&format!("\n{content}"))),
            ("handler", "") => Step::Handler(message(content)),
            ("send", "") => Step::Send(request(content)),
            ("expect", "") => Step::Expect(message(content)),
            ("wait", time) => {
                let seconds = time.trim_end_matches('s').parse().unwrap_or_else(|_| panic!("{time} is no time"));
                Step::Wait(Duration::from_secs(seconds))
            }
            ("settle", "") => Step::Settle,
            other => panic!("there is no section {other:?}"),
        };
        script.steps.push(step);
    }
    script
}

fn message(content: &str) -> Message {
    let (head, body) = match content.split_once("\n\n") {
        Some((head, body)) => (head, Some(bytes(body))),
        None => (content.trim_end_matches('\n'), None),
    };
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default().to_owned();
    Message { first, lines: lines.filter(|line| !line.is_empty()).map(bytes).collect(), body }
}

fn request(content: &str) -> Vec<u8> {
    let (head, body) = content.split_once("\n\n").unwrap_or((content.trim_end_matches('\n'), ""));
    let mut out = Vec::new();
    for line in head.lines().chain(["Connection: close"]) {
        out.extend(bytes(line));
        out.extend(b"\r\n");
    }
    out.extend(b"\r\n");
    out.extend(bytes(body));
    out
}

/// Text with `\xHH` for bytes, `\r`, `\n`, `{x*N}` for N times x, and `{now+N}` for the date in N seconds.
fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some(escaped) = rest.strip_prefix("\\x") {
            out.push(u8::from_str_radix(&escaped[..2], 16).expect("two digits"));
            rest = &escaped[2..];
        } else if let Some((seconds, after)) = rest.strip_prefix("{now").and_then(|rest| rest.split_once('}')) {
            out.extend(date(seconds.parse().unwrap_or(0)).as_bytes());
            rest = after;
        } else if let Some((times, after)) = rest.strip_prefix("{x*").and_then(|rest| rest.split_once('}')) {
            out.extend(vec![b'x'; times.parse().expect("a number")]);
            rest = after;
        } else {
            out.extend(character.to_string().as_bytes());
            rest = &rest[character.len_utf8()..];
        }
    }
    out
}

fn date(seconds: i64) -> String {
    let now = std::time::SystemTime::now();
    let by = Duration::from_secs(seconds.unsigned_abs());
    HttpDate::from(if seconds < 0 { now - by } else { now + by }).to_string()
}
