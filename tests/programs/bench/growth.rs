//! The same paths with more entries, more workers and larger bodies: flat where the floor is flat.

use std::path::Path;
use std::time::Duration;

use cache_suite::RedisServer;

use crate::chart::Chart;
use crate::clears::acknowledged_after;
use crate::hits::per_second;
use crate::load::Load;
use crate::routes::{BODY_BYTES, HITS, HitRoute, Parts, SIZES, Serving, With};
use crate::table::{median, ratios};

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(300);
/// Room for all that is held.
const L1_BYTES: usize = 1 << 30;

/// The paths that are followed: those that are hit, without the coding, which has another order of size; then a miss.
fn followed() -> impl Iterator<Item = HitRoute> {
    HITS.into_iter().filter(|hit| hit.with != With::Brotli)
}

const MISS: &str = "miss, 3 tags";
const CLEAR: &str = "clear of a tag";

async fn speed_of(value: &Load, floor: &Load) -> f64 {
    median(&ratios(&per_second(ROUNDS, ROUND, value, floor).await))
}

/// A service of its own, for one place.
struct Place {
    _server: RedisServer,
    parts: Parts,
    serving: Serving,
    tag: String,
}

impl Place {
    async fn start(workers: usize) -> Result<Self, String> {
        let server = RedisServer::start();
        let parts = crate::parts(&server, L1_BYTES).await;
        let serving = Serving::start("127.0.0.1:0", workers, &parts)?;
        let tag = crate::prepare(&serving).await;
        Ok(Self { _server: server, parts, serving, tag })
    }

    /// What hits ask for that are spread over so many entries, each of which has a tag of its own.
    fn of_entries(&self, hit: HitRoute, path: &str, entries: u64) -> Load {
        let path = path.trim_end_matches('7');
        Load::of_many(self.serving.address, path, &hit.headers(&self.tag), hit.status(), entries)
    }

    async fn miss(&self) -> f64 {
        let floor = format!("/floor/missed/{BODY_BYTES}/");
        let [value, floor] = ["/l2/tags3/", &floor].map(|path| Load::of_new(self.serving.address, path));
        speed_of(&value, &floor).await
    }
}

/// Adds what one place gave to the curves.
fn add(curves: &mut Vec<(&'static str, Vec<f64>)>, place: Vec<(&'static str, f64)>) {
    if curves.is_empty() {
        curves.extend(place.iter().map(|(name, _)| (*name, Vec::new())));
    }
    for ((_, speeds), (_, speed)) in curves.iter_mut().zip(place) {
        speeds.push(speed);
    }
}

async fn over_entries() -> Result<Chart, String> {
    let (counts, mut curves) = ([1_000_u64, 10_000, 100_000], Vec::new());
    for count in counts {
        let place = Place::start(1).await?;
        let mut speeds = Vec::new();
        for hit in followed() {
            place.of_entries(HitRoute { with: With::Nothing, ..hit }, hit.path, count).run_through();
            let [value, floor] = [hit.path, hit.floor].map(|path| place.of_entries(hit, path, count));
            speeds.push((hit.name, speed_of(&value, &floor).await));
        }
        speeds.push((MISS, place.miss().await));
        let mut clears = Vec::new();
        for number in 0..31 {
            clears.push(acknowledged_after(&place.parts.far, &format!("session:{number:09}")).await);
        }
        speeds.push((CLEAR, 1.0 / median(&ratios(&clears))));
        add(&mut curves, speeds);
    }
    let places = counts.map(|count| format!("{count} entries")).to_vec();
    Ok(Chart { title: "Entries, each with a tag of its own", places, curves })
}

async fn over_workers() -> Result<Chart, String> {
    let (counts, mut curves) = ([1, 2, 4, 8], Vec::new());
    for workers in counts {
        let place = Place::start(workers).await?;
        let mut speeds = Vec::new();
        for hit in followed() {
            let load = |path| Load::of(place.serving.address, path, &hit.headers(&place.tag), hit.status());
            speeds.push((hit.name, speed_of(&load(hit.path), &load(hit.floor)).await));
        }
        speeds.push((MISS, place.miss().await));
        add(&mut curves, speeds);
    }
    let places =
        counts.map(|count| if count == 1 { "1 worker".to_owned() } else { format!("{count} workers") }).to_vec();
    Ok(Chart { title: "Workers", places, curves })
}

async fn over_sizes() -> Result<Chart, String> {
    let mut curves = Vec::new();
    for size in SIZES {
        let place = Place::start(1).await?;
        let address = place.serving.address;
        let host = address.to_string();
        let path = format!("/l1/sized/{size}/7");
        let filled = cache_suite::send(address, "GET", &path, &[("host", &host)], "").await;
        let tag = filled.header("etag").to_owned();
        let load = |path: &str| Load::of(address, &format!("{path}/{size}/7"), &[], 200);
        let condition = Load::of(address, &path, &[("if-none-match", &tag)], 304);
        let bare_condition = Load::of(address, "/floor/conditions/7", &[("if-none-match", &place.tag)], 304);
        let new = |path: &str| Load::of_new(address, &format!("{path}/{size}/"));
        let [cached, wrapped, not_modified, stored] = [0, 1, 2, 3].map(|index| HITS[index].name);
        let speeds = vec![
            (cached, speed_of(&load("/l1/sized"), &load("/floor/sized")).await),
            (wrapped, speed_of(&load("/l1/wrapped-sized"), &load("/floor/sized")).await),
            (not_modified, speed_of(&condition, &bare_condition).await),
            (stored, speed_of(&load("/l2/sized"), &load("/floor/stored")).await),
            ("miss, 1 tag", speed_of(&new("/l2/sized"), &new("/floor/missed")).await),
        ];
        add(&mut curves, speeds);
    }
    let places = SIZES.map(|size| if size < 1_024 { format!("{size} B") } else { format!("{} KiB", size >> 10) });
    Ok(Chart { title: "Size of the body", places: places.to_vec(), curves })
}

/// All curves, as tables, and as pictures in a directory.
pub(crate) async fn measure(directory: Option<&Path>) -> Result<(), String> {
    println!("speed as a part of the floor's: 1 is as fast as without the cache");
    for (name, chart) in [
        ("growth-entries.svg", over_entries().await?),
        ("growth-workers.svg", over_workers().await?),
        ("growth-sizes.svg", over_sizes().await?),
    ] {
        chart.print();
        if let Some(directory) = directory {
            chart.write(&directory.join(name))?;
        }
    }
    Ok(())
}
