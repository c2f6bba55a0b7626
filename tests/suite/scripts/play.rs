//! Plays a script.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::app::{self, Handler};
use super::parse::{Message, Script, Step};

/// How long a step may take before the script counts as hanging.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn script(script: &Script) -> Result<(), String> {
    let handler = Arc::new(Handler::default());
    let (address, time) = app::start(&script.app, &handler).await;
    let mut answer = Vec::new();
    for (number, step) in script.steps.iter().enumerate() {
        let checked = match step {
            Step::Handler(reply) => {
                handler.replies.lock().expect("the lock").push_back(reply.clone());
                Ok(())
            }
            Step::Send(request) => {
                answer = tokio::time::timeout(PATIENCE, exchange(address, request))
                    .await
                    .map_err(|_| "there is no answer".to_owned())?;
                Ok(())
            }
            Step::Expect(expected) => expect(&answer, expected),
            Step::Saw(expected) => saw(&handler, expected),
            Step::Wait(by) => {
                time.advance(*by);
                Ok(())
            }
            Step::Settle => settle(&handler).await,
        };
        checked.map_err(|problem| format!("step {}: {problem}", number + 1))?;
    }
    let left = handler.replies.lock().expect("the lock").len();
    if left > 0 { Err(format!("{left} replies were not asked for")) } else { Ok(()) }
}

async fn exchange(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request).await.expect("a request that is taken");
    let mut answer = Vec::new();
    // A server that refuses what it was sent may close before it has read it.
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// Splits the answer; an interim response before it counts for nothing.
fn split(answer: &[u8]) -> Option<(String, Vec<Vec<u8>>, Vec<u8>)> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let mut lines = answer[..end].split(|byte| *byte == b'\n').map(|line| line.trim_ascii_end().to_vec());
    let status = String::from_utf8_lossy(&lines.next()?).split(' ').nth(1)?.to_owned();
    let body = answer[end + 4..].to_vec();
    if status.starts_with('1') { split(&body) } else { Some((status, lines.collect(), body)) }
}

fn expect(answer: &[u8], expected: &Message) -> Result<(), String> {
    let shown = String::from_utf8_lossy(answer).into_owned();
    let (status, lines, body) = split(answer).ok_or_else(|| format!("this is no HTTP: {shown:?}"))?;
    if status != expected.first {
        return Err(format!("{} was expected:\n{shown}", expected.first));
    }
    check_lines(&lines, &expected.lines).map_err(|problem| format!("{problem}:\n{shown}"))?;
    match &expected.body {
        Some(expected) if *expected != body => Err(format!("another body was expected:\n{shown}")),
        _ => Ok(()),
    }
}

fn saw(handler: &Handler, expected: &Message) -> Result<(), String> {
    let saw = handler.saw.lock().expect("the lock");
    let saw = saw.as_ref().ok_or("the handler did not run")?;
    let lines: Vec<Vec<u8>> =
        saw.iter().map(|(name, value)| [name.as_str().as_bytes(), b": ", value.as_bytes()].concat()).collect();
    check_lines(&lines, &expected.lines).map_err(|problem| format!("{problem} in what the handler saw: {saw:?}"))
}

/// Every expected line is there, in any order; `-name` is not. A line that ends with `…` is a beginning.
fn check_lines(lines: &[Vec<u8>], expected: &[Vec<u8>]) -> Result<(), String> {
    let normal = |line: &[u8]| {
        let mut line = line.to_vec();
        let end = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        line[..end].make_ascii_lowercase();
        line
    };
    let lines: Vec<Vec<u8>> = lines.iter().map(|line| normal(line)).collect();
    for expected in expected {
        let shown = String::from_utf8_lossy(expected).into_owned();
        let fine = match expected.strip_prefix(b"-") {
            Some(name) => {
                let absent = [normal(name), b":".to_vec()].concat();
                !lines.iter().any(|line| line.starts_with(&absent))
            }
            None => match normal(expected).strip_suffix("…".as_bytes()) {
                Some(beginning) => lines.iter().any(|line| line.starts_with(beginning)),
                None => lines.contains(&normal(expected)),
            },
        };
        if !fine {
            return Err(format!("{shown:?} does not hold"));
        }
    }
    Ok(())
}

async fn settle(handler: &Handler) -> Result<(), String> {
    let done = async {
        while !handler.replies.lock().expect("the lock").is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // What is made of the reply is stored in the same poll, on the one thread that will read the next request.
    };
    tokio::time::timeout(PATIENCE, done).await.map_err(|_| "the handler does not run".to_owned())
}
