//! How Redis is, asked now.

use std::collections::BTreeMap;
use std::time::Instant;

use redis::FromRedisValue;

use super::RedisStore;
use super::member::lease_of;
use super::router::distinct;
use super::suitability::field;
use crate::error::StoreError;
use crate::store::{ClusterCondition, Condition, FleetNode, TagSize, tag_sizes};
use crate::tag::Mark;
use crate::time::Millis;

/// So many sets of the index are looked at in a partition.
const SAMPLE: u64 = 100;

impl RedisStore {
    /// How the servers are that answer; an error if none does.
    pub(super) async fn do_condition(&self) -> Result<Condition, StoreError> {
        let mut condition = Condition::default();
        let mut problem = StoreError::Unavailable("no server is known".to_owned());
        let mut answers = None;
        for site in distinct(self.router.map().sites()) {
            let Some(first) = site.partitions.first().copied() else { continue };
            // Of one that is silent nothing more is asked: each question would wait.
            match self.add_server(&site.partitions, &mut condition).await {
                Ok(()) => answers = Some(first),
                Err(error) => problem = error,
            }
        }
        let Some(partition) = answers else { return Err(problem) };
        if self.settings.cluster {
            let info: String = self.ask(partition, redis::cmd("CLUSTER").arg("INFO")).await?;
            let number = |name| field(&info, name).and_then(|text| text.parse().ok()).unwrap_or(0);
            condition.cluster = Some(ClusterCondition {
                ok: field(&info, "cluster_state") == Some("ok"),
                nodes: number("cluster_known_nodes"),
                masters: number("cluster_size"),
            });
        }
        Ok(condition)
    }

    async fn add_server(&self, partitions: &[u16], condition: &mut Condition) -> Result<(), StoreError> {
        let Some(partition) = partitions.first().copied() else { return Ok(()) };
        let began = Instant::now();
        let _: (u64, u64) = self.ask(partition, &redis::cmd("TIME")).await?;
        condition.latency = condition.latency.max(began.elapsed());
        let info: String = self.ask(partition, redis::cmd("INFO").arg("memory")).await?;
        let bytes = |name| field(&info, name).and_then(|text| text.parse::<f64>().ok()).filter(|bytes| *bytes > 0.0);
        // Without a limit of its own it has what the machine has.
        if let Some((used, most)) = bytes("used_memory").zip(bytes("maxmemory").or(bytes("total_system_memory"))) {
            condition.memory = Some(condition.memory.unwrap_or_default().max(used / most));
        }
        let info: String = self.ask(partition, redis::cmd("INFO").arg("keyspace")).await?;
        condition.keys += keys_of(&info);
        for partition in partitions {
            // One that is up and refuses, as a cluster without its majority does, has said enough.
            if self.add_partition(*partition, condition).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn add_partition(&self, partition: u16, condition: &mut Condition) -> Result<(), StoreError> {
        let layout = &self.settings.layout;
        condition.open_sweeps += self.ask::<u64>(partition, redis::cmd("ZCARD").arg(layout.jobs(partition))).await?;
        let sets = layout.index_sets(partition);
        let count: u64 = self.ask(partition, redis::cmd("ZCARD").arg(&sets)).await?;
        let some: Vec<String> = self.ask(partition, redis::cmd("ZRANDMEMBER").arg(&sets).arg(SAMPLE)).await?;
        let mut members = 0;
        for set in &some {
            let count = self.ask::<u64>(partition, redis::cmd("ZCARD").arg(layout.index_set(partition, set))).await;
            members += known(count)?;
        }
        condition.index_sets += count;
        condition.index_members += members * count / (some.len() as u64).max(1);
        Ok(())
    }

    pub(super) async fn do_tags(&self, most: usize) -> Result<Vec<TagSize>, StoreError> {
        let now = |partition| self.router.now_ms(partition);
        let counted = self
            .on_all(async |partition| {
                let layout = &self.settings.layout;
                let sets = layout.index_sets(partition);
                let some: Vec<String> = self.ask(partition, redis::cmd("ZRANDMEMBER").arg(sets).arg(most)).await?;
                let mut counted = Vec::new();
                for mark in some.iter().filter(|mark| Mark::as_tag(mark).is_some()) {
                    let set = layout.index_set(partition, mark);
                    let mut count = redis::cmd("ZCOUNT");
                    count.arg(set).arg(now(partition)).arg("+inf");
                    counted.push((mark.clone(), known(self.ask::<u64>(partition, &count).await)?));
                }
                Ok(counted)
            })
            .await?;
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for (mark, count) in counted.into_iter().flatten() {
            *sums.entry(mark).or_default() += count;
        }
        Ok(tag_sizes(sums))
    }

    pub(super) async fn do_fleet(&self) -> Result<Vec<FleetNode>, StoreError> {
        let rows = self
            .on_all(async |partition| {
                let nodes = format!("{}n", self.settings.layout.prefix(partition));
                self.ask::<Vec<(String, String)>>(partition, redis::cmd("HGETALL").arg(nodes)).await
            })
            .await?;
        let rows: BTreeMap<String, String> = rows.into_iter().flatten().collect();
        let lease = |row: &str| Millis::from(lease_of(row)).0;
        Ok(rows.into_iter().map(|(node, row)| FleetNode { node, lease_ms: lease(&row) }).collect())
    }

    /// Asks something for which nobody waits.
    pub(super) async fn ask<T: FromRedisValue>(&self, partition: u16, command: &redis::Cmd) -> Result<T, StoreError> {
        let (mut connection, call) = self.router.call(partition)?;
        call.patient().ended(command.query_async(&mut connection)).await
    }
}

/// A count; 0 of what is no set, because somebody else has written it.
fn known(count: Result<u64, StoreError>) -> Result<u64, StoreError> {
    match count {
        Err(StoreError::Failed(_)) => Ok(0),
        count => count,
    }
}

/// The keys of all databases, by `db0:keys=7,expires=..`.
fn keys_of(info: &str) -> u64 {
    let databases = info.lines().filter_map(|line| line.split_once(":keys="));
    databases.filter_map(|(_, rest)| rest.split(',').next()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::keys_of;

    #[test]
    fn keys_of_all_databases_are_counted() {
        let info = "# Keyspace\r\ndb0:keys=7,expires=3,avg_ttl=1\r\ndb3:keys=2,expires=0,avg_ttl=0\r\n";
        assert_eq!((keys_of(info), keys_of("# Keyspace\r\n")), (9, 0));
    }
}
