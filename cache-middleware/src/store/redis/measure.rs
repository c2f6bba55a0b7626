//! What the store counts of itself.

use super::RedisStore;
use super::site::Site;
use crate::telemetry::{Sample, metric};

impl RedisStore {
    pub(super) fn do_measure(&self, samples: &mut Vec<Sample>) {
        for (result, count) in self.settings.counts.results() {
            samples.push(Sample::counter(&metric::STORE_COMMANDS, [result.into()], count));
        }
        samples.push(Sample::histogram(&metric::STORE_TIMES, [], self.settings.counts.took()));
        samples.push(Sample::gauge(&metric::STORE_CONNECTED, [], self.part_of_partitions(Site::is_ready)));
        samples.push(Sample::gauge(&metric::BREAKER, [], self.part_of_partitions(Site::is_broken)));
    }

    /// The part of the partitions whose server is so.
    fn part_of_partitions(&self, is_so: impl Fn(&Site) -> bool) -> f64 {
        let sites = self.router.map().sites();
        let so = sites.iter().flatten().filter(|site| is_so(site)).count();
        #[expect(clippy::cast_precision_loss, reason = "there are some thousands of partitions at most")]
        let part = so as f64 / sites.len().max(1) as f64;
        part
    }
}
