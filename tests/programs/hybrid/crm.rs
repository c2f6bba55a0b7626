//! A generated CRM: 10,000 users, 500 operations, 200 roles, at a source that takes 50 to 100 ms to answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cache_middleware::{Record, SourceError, SourceOfTruth};
use cache_suite::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(super) const USERS: u64 = 10_000;
pub(super) const OPERATIONS: u64 = 500;
pub(super) const ROLES: u64 = 200;

/// A value, and which of its record's values it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Versioned {
    pub(super) version: u64,
    pub(super) value: Value,
}

/// The types of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// What an operation costs; the whole record says more of it.
    Cost,
    /// What a role may do.
    Role,
    /// Whether a user may do anything, and in which roles.
    Standing,
    /// Everything else of a user.
    Profile,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Cost, Self::Role, Self::Standing, Self::Profile];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cost => "credit-configs",
            Self::Role => "roles",
            Self::Standing => "user-status",
            Self::Profile => "users",
        }
    }
}

/// The authority.
pub(super) struct Crm {
    records: Mutex<HashMap<(Kind, u64), Versioned>>,
    versions: AtomicU64,
    /// Whether the whole record is given, as in full replication.
    whole: bool,
    /// Bytes of all answers.
    pub(super) sent: AtomicU64,
    pub(super) asked: AtomicU64,
    random: Mutex<Rng>,
}

fn words(rng: &mut Rng, count: u64) -> String {
    let word = |rng: &mut Rng| format!("{:06x}", rng.below(1 << 24));
    (0..count).map(|_| word(rng)).collect::<Vec<_>>().join(" ")
}

impl Crm {
    pub(super) fn generate(seed: u64, whole: bool) -> Arc<Self> {
        let mut rng = Rng::new(seed);
        let crm = Self {
            records: Mutex::default(),
            versions: AtomicU64::new(0),
            whole,
            sent: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            random: Mutex::new(rng.split()),
        };
        for (kind, count) in
            [(Kind::Cost, OPERATIONS), (Kind::Role, ROLES), (Kind::Standing, USERS), (Kind::Profile, USERS)]
        {
            for key in 0..count {
                crm.change(kind, key);
            }
        }
        Arc::new(crm)
    }

    fn random<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A record as it may be.
    fn record(&self, kind: Kind, key: u64) -> Value {
        self.random(|rng| match kind {
            Kind::Cost if self.whole => json!({
                "code": format!("crm.operation.{key}"), "cost": rng.below(100), "name": words(rng, 4),
                "description": words(rng, 30), "limits": {"perDay": rng.below(1_000), "perUser": rng.below(100)},
            }),
            Kind::Cost => json!(rng.below(100)),
            Kind::Role => {
                let permissions: Vec<String> =
                    (0..5 + rng.below(20)).map(|_| format!("crm.operation.{}", rng.below(OPERATIONS))).collect();
                match self.whole {
                    true => json!({"name": words(rng, 2), "description": words(rng, 20), "permissions": permissions}),
                    false => json!(permissions),
                }
            }
            Kind::Standing => json!({"status": "active", "roles": (0..1 + rng.below(3)).map(|_| rng.below(ROLES)).collect::<Vec<_>>()}),
            Kind::Profile => json!({
                "id": format!("user-{key}"), "name": words(rng, 2), "email": format!("user{key}@example.org"),
                "title": words(rng, 3), "department": words(rng, 1), "phone": words(rng, 2), "address": words(rng, 8),
                "biography": words(rng, 60),
            }),
        })
    }

    /// Changes a record; gives what it was and what it is.
    pub(super) fn change(&self, kind: Kind, key: u64) -> (Option<Versioned>, Versioned) {
        let value = self.record(kind, key);
        let version = self.versions.fetch_add(1, Ordering::SeqCst) + 1;
        let changed = Versioned { version, value };
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        (records.insert((kind, key), changed.clone()), changed)
    }

    pub(super) fn now(&self, kind: Kind, key: u64) -> Option<Versioned> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).get(&(kind, key)).cloned()
    }

    /// Bytes of all records of a type, as JSON.
    pub(super) fn bytes(&self, kind: Kind) -> u64 {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().filter(|((of, _), _)| *of == kind).map(|(_, record)| size(record)).sum()
    }

    /// The way of a node to the records of a type.
    pub(super) fn of(self: &Arc<Self>, kind: Kind) -> OfKind {
        OfKind { crm: self.clone(), kind }
    }

    async fn takes_its_time(&self) {
        let milliseconds = 50 + self.random(|rng| rng.below(51));
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }

    fn sends(&self, records: &[Record<u64, Versioned>]) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.sent.fetch_add(records.iter().map(|record| size(&record.value)).sum(), Ordering::Relaxed);
    }
}

pub(super) fn size(value: &impl Serialize) -> u64 {
    serde_json::to_vec(value).map_or(0, |bytes| bytes.len() as u64)
}

#[derive(Clone)]
pub(super) struct OfKind {
    crm: Arc<Crm>,
    kind: Kind,
}

impl OfKind {
    fn find(&self, key: u64) -> Option<Record<u64, Versioned>> {
        self.crm.now(self.kind, key).map(|value| Record { key, version: value.version, value })
    }
}

impl SourceOfTruth<u64, Versioned> for OfKind {
    async fn one(&self, key: &u64) -> Result<Option<Record<u64, Versioned>>, SourceError> {
        Ok(self.many(&[*key]).await?.pop())
    }

    async fn many(&self, keys: &[u64]) -> Result<Vec<Record<u64, Versioned>>, SourceError> {
        let found: Vec<_> = keys.iter().filter_map(|key| self.find(*key)).collect();
        self.crm.sends(&found);
        self.crm.takes_its_time().await;
        Ok(found)
    }

    async fn all(&self) -> Result<Vec<Record<u64, Versioned>>, SourceError> {
        let keys: Vec<u64> = {
            let records = self.crm.records.lock().unwrap_or_else(PoisonError::into_inner);
            records.keys().filter(|(kind, _)| *kind == self.kind).map(|(_, key)| *key).collect()
        };
        let found: Vec<_> = keys.into_iter().filter_map(|key| self.find(key)).collect();
        self.crm.sends(&found);
        self.crm.takes_its_time().await;
        Ok(found)
    }
}
