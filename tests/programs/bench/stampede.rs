//! Many requests wait for one run of a handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, get, test, web};
use cache_middleware::cached;
use futures_util::future::{join, join_all};
use tokio::sync::watch;

use crate::routes::{Parts, with_headers};
use crate::table::{Goal, Row, Table};

/// The runs of the handler, and when the last of them ended.
#[derive(Debug, Clone)]
struct Runs {
    count: Arc<AtomicU64>,
    began: Instant,
    ended_ns: Arc<AtomicU64>,
}

#[get("/slow")]
#[cached(ttl = "1h", tags = ["slow"])]
async fn slow(runs: web::Data<Runs>) -> HttpResponse {
    actix_web::rt::time::sleep(Duration::from_millis(200)).await;
    runs.count.fetch_add(1, Ordering::SeqCst);
    let ended_ns = u64::try_from(runs.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    runs.ended_ns.store(ended_ns, Ordering::SeqCst);
    HttpResponse::Ok().body("slow")
}

/// Waits as those who follow do, for one signal, and answers with as many headers: the floor.
#[get("/signalled")]
async fn signalled(signal: web::Data<watch::Sender<bool>>) -> HttpResponse {
    let mut heard = signal.subscribe();
    let patience = Duration::from_secs(5);
    assert!(matches!(actix_web::rt::time::timeout(patience, heard.wait_for(|given| *given)).await, Ok(Ok(_))));
    with_headers(HttpResponse::Ok().body("slow"))
}

/// Milliseconds from the signal to the last of so many answers.
async fn after_a_signal(waiting: usize) -> f64 {
    let signal = web::Data::new(watch::Sender::new(false));
    let app = test::init_service(App::new().app_data(signal.clone()).service(signalled)).await;
    let asked = (0..waiting).map(|_| test::call_service(&app, test::TestRequest::get().uri("/signalled").to_request()));
    let given = async {
        actix_web::rt::time::sleep(Duration::from_millis(200)).await;
        let given = Instant::now();
        signal.send_replace(true);
        given
    };
    let (answers, given) = join(join_all(asked), given).await;
    let late = given.elapsed();
    assert!(answers.iter().all(|answer| answer.status() == 200));
    late.as_secs_f64() * 1e3
}

pub(crate) async fn measure(parts: &Parts, rounds: usize, table: &mut Table) {
    const WAITING: usize = 5_000;
    let (mut runs_of, mut late) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let floor = after_a_signal(WAITING).await;
        parts.near.clear_tag("slow").await.expect("a receipt");
        let runs = Runs { count: Arc::default(), began: Instant::now(), ended_ns: Arc::default() };
        let app = App::new().app_data(parts.near.clone()).app_data(web::Data::new(runs.clone())).service(slow);
        let app = test::init_service(app).await;
        let asked = (0..WAITING).map(|_| test::call_service(&app, test::TestRequest::get().uri("/slow").to_request()));
        let answers = join_all(asked).await;
        assert!(answers.iter().all(|answer| answer.status() == 200));
        let ended = runs.began.elapsed();
        let filled = Duration::from_nanos(runs.ended_ns.load(Ordering::SeqCst));
        runs_of.push((runs.count.load(Ordering::SeqCst) as f64, 1.0));
        late.push((ended.saturating_sub(filled).as_secs_f64() * 1e3, floor));
    }
    table.add(Row::of(
        format!("stampede of {WAITING} requests: runs of the handler"),
        "",
        &runs_of,
        Goal::RatioAtMost(1.0),
    ));
    table.add(Row::of(
        format!("stampede of {WAITING} requests: from the end of the run to the last answer"),
        "ms",
        &late,
        Goal::AtMost(20.0),
    ));
}
