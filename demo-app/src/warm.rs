//! Fills the cache of a running service before its callers come, and shows how far it is.

use std::net::SocketAddr;
use std::time::Duration;

use cache_middleware::{CacheWarmer, Warm, WarmerProgress, Warming};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{app, client};

/// What each teacher is likely to look at first.
const PATHS: [&str; 2] = ["/api/v1/sessions", "/api/v1/users/me"];
/// How often the bar is drawn.
const DRAWN: Duration = Duration::from_millis(50);

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    address: SocketAddr,
    teachers: u32,
    per_second: u32,
}

impl Options {
    pub(crate) fn parse(words: &[String]) -> Result<Self, String> {
        let usage = "`warm` takes --address 127.0.0.1:8080, --teachers N (1 to 50) and --per-second N";
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        let mut options = Self { address, teachers: 50, per_second: 50 };
        for pair in words.chunks(2) {
            let [name, value] = pair else { return Err(usage.to_owned()) };
            let wrong = || format!("{name} {value:?} is not accepted: {usage}");
            let number = || value.parse::<u32>().ok().filter(|number| *number > 0).ok_or_else(wrong);
            match name.as_str() {
                "--address" => options.address = value.parse().map_err(|_| wrong())?,
                "--teachers" => {
                    options.teachers = number().ok().filter(|teachers| *teachers <= 50).ok_or_else(wrong)?;
                }
                "--per-second" => options.per_second = number()?,
                _ => return Err(wrong()),
            }
        }
        Ok(options)
    }
}

pub(crate) async fn run(options: Options) -> Result<(), String> {
    let Options { address, teachers, per_second } = options;
    // Told at once, and not by every request.
    client::ask(address, "teacher-1", "GET", "/debug/counters", "")
        .await
        .map_err(|error| format!("no service answers at http://{address} ({error}): start it, or say --address"))?;
    let cache = app::cache().await.map_err(|error| error.to_string())?;
    let wanted = (1..=teachers).flat_map(|teacher| PATHS.map(|path| (teacher, path)));
    let warms: Vec<Warm> = wanted.map(|(teacher, path)| request(address, teacher, path)).collect();
    let bar = ProgressBar::new(warms.len() as u64);
    bar.set_style(style()?);
    let budget = Warming::new().per_second(per_second).within(Duration::from_secs(600));
    let warmer = CacheWarmer::start(&cache, budget).map_err(|error| error.to_string())?;
    warmer.warm(warms);
    let ended = |progress: WarmerProgress| progress.done + progress.failed + progress.skipped;
    while Some(ended(warmer.progress())) < bar.length() {
        bar.set_position(ended(warmer.progress()));
        actix_web::rt::time::sleep(DRAWN).await;
    }
    bar.finish();
    let WarmerProgress { done, failed, .. } = warmer.progress();
    println!("warmed {done} responses of {teachers} teachers at http://{address}");
    if failed > 0 { Err(format!("{failed} requests failed")) } else { Ok(()) }
}

fn request(address: SocketAddr, teacher: u32, path: &'static str) -> Warm {
    Warm::new(format!("{path} of {teacher}"), async move |_| {
        client::ask(address, &format!("teacher-{teacher}"), "GET", path, "").await.map(|_| ())
    })
}

fn style() -> Result<ProgressStyle, String> {
    ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {eta} left").map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, String> {
        Options::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_and_refused() {
        let address = "127.0.0.1:9".parse().unwrap();
        let read = parse(&["--teachers", "3", "--address", "127.0.0.1:9", "--per-second", "7"]);
        assert_eq!(read, Ok(Options { address, teachers: 3, per_second: 7 }));
        for bad in
            [&["--teachers"][..], &["--teachers", "0"], &["--teachers", "51"], &["--address", "x"], &["--minutes", "3"]]
        {
            assert!(parse(bad).unwrap_err().contains("`warm` takes"), "{bad:?}");
        }
        assert!(style().is_ok());
    }
}
