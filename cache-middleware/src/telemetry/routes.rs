//! What is counted of each route: a bounded number of them by name, and the others together.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use papaya::HashMap;
use quick_cache::DefaultHashBuilder;

use super::cells::Cells;
use super::histogram::{Distribution, Histogram};
use crate::outcome::Verdict;

/// The label of the routes that are too many.
pub(crate) const OTHERS: &str = "other";

/// The most classes of tenants: none, any, and those that are named.
pub(crate) const MOST_CLASSES: usize = 8;

/// What is counted of a route.
#[derive(Debug)]
pub(crate) struct Route {
    name: Arc<str>,
    /// By the class of the tenant.
    classes: [OnceLock<Cells<{ Verdict::COUNT }>>; MOST_CLASSES],
    handler: OnceLock<Histogram>,
}

impl Route {
    fn new(name: &str) -> Self {
        Self { name: name.into(), classes: [const { OnceLock::new() }; MOST_CLASSES], handler: OnceLock::new() }
    }

    pub(crate) fn count(&self, class: usize, verdict: usize) {
        let class = &self.classes[class.min(MOST_CLASSES - 1)];
        class.get_or_init(Cells::new).add(verdict, 1);
    }

    pub(crate) fn ran(&self, took: Duration) {
        self.handler.get_or_init(Histogram::of_others).record(took);
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The counts of each class that has some, by [`Verdict::ALL`].
    pub(crate) fn counts(&self) -> impl Iterator<Item = (usize, [u64; Verdict::COUNT])> {
        let counted = |(class, cells): (usize, &OnceLock<Cells<_>>)| Some((class, cells.get()?.sums()));
        self.classes.iter().enumerate().filter_map(counted)
    }

    pub(crate) fn handler(&self) -> Option<Distribution> {
        Some(self.handler.get()?.read())
    }
}

/// All routes.
#[derive(Debug)]
pub(crate) struct Routes {
    /// Patterns and names of the program: nobody else chooses what is hashed, and each request does it.
    by_name: HashMap<Arc<str>, Arc<Route>, DefaultHashBuilder>,
    named: AtomicUsize,
    most: usize,
    others: Arc<Route>,
}

impl Routes {
    /// So many have names.
    pub(crate) fn new(most: usize) -> Self {
        let others = Arc::new(Route::new(OTHERS));
        let by_name = HashMap::with_hasher(DefaultHashBuilder::default());
        Self { by_name, named: AtomicUsize::new(0), most, others }
    }

    /// What is counted under a name, or with the others.
    pub(crate) fn with<T>(&self, name: &str, use_it: impl FnOnce(&Route) -> T) -> T {
        let by_name = self.by_name.pin();
        if let Some(route) = by_name.get(name) {
            return use_it(route);
        }
        // Two that come at once may both take a number: then there is one name less.
        if self.named.load(Ordering::Relaxed) < self.most && self.named.fetch_add(1, Ordering::Relaxed) < self.most {
            let route = Arc::new(Route::new(name));
            return use_it(by_name.get_or_insert(route.name.clone(), route));
        }
        use_it(&self.others)
    }

    pub(crate) fn all(&self) -> Vec<Arc<Route>> {
        let mut all: Vec<_> = self.by_name.pin().values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.push(self.others.clone());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p9_a_hundred_thousand_routes_are_a_bounded_number_of_names() {
        let routes = Routes::new(100);
        for number in 0..100_000 {
            routes.with(&format!("/route/{number}"), |route| route.count(0, 3));
        }
        let all = routes.all();
        assert_eq!(all.len(), 101);
        let sums = all.iter().flat_map(|route| route.counts().map(|(_, counts)| counts[3]).collect::<Vec<_>>());
        assert_eq!(sums.sum::<u64>(), 100_000);
        assert_eq!(&**all[100].name(), OTHERS);
    }

    #[test]
    fn classes_are_counted_apart() {
        let routes = Routes::new(1);
        routes.with("/a", |route| route.count(0, 0));
        routes.with("/a", |route| route.count(1, 0));
        // A class that there is none of is the last.
        routes.with("/a", |route| route.count(99, 0));
        let counts = routes.with("/a", |route| route.counts().map(|(class, of)| (class, of[0])).collect::<Vec<_>>());
        assert_eq!(counts, [(0, 1), (1, 1), (MOST_CLASSES - 1, 1)]);
    }
}
