//! What is told live: collected once a second for all pages, and sent as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::Dashboard;
use super::frame::{Collector, last_clears};
use crate::health::CacheHealthMonitor;

/// How many seconds a page is shown that is opened.
const HISTORY: usize = 300;
/// How many pages may be told at a time.
const MOST_PAGES: usize = 32;

/// The seconds, as they are sent.
#[derive(Debug)]
pub(super) struct Feed {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    history: Mutex<VecDeque<Bytes>>,
    live: broadcast::Sender<Bytes>,
    pages: AtomicUsize,
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Feed {
    pub(super) fn start(monitor: &CacheHealthMonitor) -> Self {
        let (live, _) = broadcast::channel(16);
        let shared = Arc::new(Shared { history: Mutex::default(), live, pages: AtomicUsize::new(0) });
        let task = tokio::spawn(collect(monitor.clone(), shared.clone()));
        Self { shared, task }
    }
}

async fn collect(monitor: CacheHealthMonitor, shared: Arc<Shared>) {
    let mut collector = Collector::new();
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let frame = collector.next(monitor.cache(), &monitor.health());
        let Ok(json) = serde_json::to_string(&frame) else { continue };
        let event = Bytes::from(format!("data: {json}\n\n"));
        let mut history = shared.history.lock().unwrap_or_else(PoisonError::into_inner);
        if history.len() == HISTORY {
            history.pop_front();
        }
        history.push_back(event.clone());
        // Under the lock: a page that opens now has it either in its history or by the channel.
        let _ = shared.live.send(event);
    }
}

/// A page that is told, until its connection ends.
struct Page(Arc<Shared>);

impl Page {
    /// `None` if there are as many as may be.
    fn open(shared: &Arc<Shared>) -> Option<Self> {
        let before = shared.pages.fetch_add(1, Ordering::SeqCst);
        let page = Self(shared.clone());
        (before < MOST_PAGES).then_some(page)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.0.pages.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) async fn events(dashboard: web::Data<Dashboard>) -> HttpResponse {
    let shared = &dashboard.shared.feed.shared;
    let Some(page) = Page::open(shared) else {
        return HttpResponse::ServiceUnavailable().body(format!("{MOST_PAGES} pages are open already\n"));
    };
    let clears = serde_json::to_string(&last_clears(dashboard.shared.monitor.cache())).unwrap_or_default();
    let clears = format!("event: clears\ndata: {clears}\n\n");
    // The seconds are shared with all pages, not copied.
    let (mut history, live) = {
        let history = shared.history.lock().unwrap_or_else(PoisonError::into_inner);
        (history.clone(), shared.live.subscribe())
    };
    history.push_front(Bytes::from(clears));
    let told = stream::unfold((history, live, page), |(mut history, mut live, page)| async move {
        if let Some(event) = history.pop_front() {
            return Some((Ok::<_, Infallible>(event), (history, live, page)));
        }
        loop {
            match live.recv().await {
                Ok(event) => return Some((Ok(event), (history, live, page))),
                // It is shown fewer seconds.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    });
    HttpResponse::Ok().content_type("text/event-stream").streaming(told)
}
