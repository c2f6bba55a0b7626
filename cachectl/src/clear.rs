//! Clearing and expiring: first what it would do, then a receipt, then a look whether it is so.

use cache_middleware::entry::Stamp;
use cache_middleware::store::{Found, Freshness, Listed, NodeId, Target};
use cache_middleware::{CacheManager, Key, Tag, Tenant};
use serde_json::json;

use crate::arguments::{Arguments, How, What};
use crate::look::show_listed;
use crate::output::{Ended, Output};

/// So many entries are listed of each target.
const LISTED: usize = 1_000;

fn targets(what: &What, arguments: &Arguments) -> Result<Vec<Target>, String> {
    let tenant = arguments.tenant.as_deref().map(Tenant::new).transpose().map_err(|error| error.to_string())?;
    if what.whole_tenant {
        return tenant.map(|tenant| vec![Target::Tenant(tenant)]).ok_or_else(|| "whose? Give --tenant".to_owned());
    }
    let tags =
        what.tags.iter().map(|tag| Ok(Target::Tag(tenant.clone(), Tag::new(tag).map_err(|error| error.to_string())?)));
    let keys = what.keys.iter().map(|key| key_target(tenant.as_ref(), key));
    tags.chain(keys).collect()
}

/// The target of a key: as a template names it, or of an entry by its whole name, as it is listed.
fn key_target(tenant: Option<&Tenant>, text: &str) -> Result<Target, String> {
    let Some(key) = Key::of_name(text) else { return Ok(Target::Key(tenant.cloned(), text.to_owned())) };
    match (tenant, key.tenant()) {
        (Some(meant), owner) if owner != Some(meant) => Err(format!("{text:?} is not of the tenant {meant}")),
        (_, owner) => Ok(Target::Key(owner.cloned(), key.text().to_owned())),
    }
}

async fn listed(cache: &CacheManager, targets: &[Target]) -> Result<Vec<Listed>, String> {
    let mut all = Vec::new();
    for target in targets {
        all.extend(cache.store().entries(target, LISTED).await.map_err(|error| error.to_string())?);
    }
    all.sort_by(|a, b| a.key.cmp(&b.key));
    all.dedup_by(|a, b| a.key == b.key);
    Ok(all)
}

pub(crate) async fn preview(
    cache: &CacheManager,
    what: &What,
    arguments: &Arguments,
    output: &Output,
) -> Result<Ended, String> {
    let listed = listed(cache, &targets(what, arguments)?).await?;
    show_listed(&listed, LISTED, output);
    Ok(Ended::Done)
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Clear,
    Expire,
}

impl Verb {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Clear => ("clear", "cleared"),
            Self::Expire => ("expire", "expired"),
        }
    }
}

/// What to do when nothing was meant.
fn hint(covered: u64, output: &Output) {
    if covered == 0 {
        output.note(
            "nothing is behind it: `cachectl tags` lists the tags that there are, `cachectl entries TAG` their keys",
        );
    }
}

/// Says what would be done.
async fn dry_run(cache: &CacheManager, verb: Verb, targets: &[Target], output: &Output) -> Result<Ended, String> {
    let ((verb, _), entries) = (verb.words(), listed(cache, targets).await?);
    let names: Vec<String> = targets.iter().map(ToString::to_string).collect();
    output.show(&json!({"wouldDo": verb, "targets": names, "entries": entries.len()}), || {
        let some = if entries.len() >= LISTED { "at least " } else { "" };
        format!(
            "would {verb} {}: {some}{} entries. Say --yes to do it; `preview` lists them.",
            names.join(", "),
            entries.len()
        )
    });
    hint(entries.len() as u64, output);
    Ok(Ended::Done)
}

pub(crate) async fn act(
    cache: &CacheManager,
    verb: Verb,
    (what, how): (&What, &How),
    arguments: &Arguments,
    output: &Output,
) -> Result<Ended, String> {
    let targets = targets(what, arguments)?;
    if !how.yes {
        return dry_run(cache, verb, &targets, output).await;
    }
    const PERHAPS: &str = "it was not acknowledged, and may have happened or not";
    let done = match verb {
        // It returns when it is in effect on every node, whatever their coherence is.
        Verb::Clear => match cache.strictly().clear_targets(targets.clone()).await {
            // The journal ends with this program.
            Ok(receipt) if receipt.journaled => return Err(PERHAPS.to_owned()),
            receipt => receipt.map(|receipt| (receipt.covered, receipt.nodes_told, receipt.stamps)),
        },
        Verb::Expire => cache
            .store()
            .expire(&targets, NodeId::default())
            .await
            .map(|receipt| (receipt.covered, receipt.told, receipt.stamps))
            .map_err(Into::into),
    };
    let (covered, nodes_told, stamps) = done.map_err(|error| format!("{PERHAPS}: {error}"))?;
    told(verb.words().1, &targets, (covered, nodes_told, &stamps), output);
    if how.verify { verify(cache, verb, &targets, &stamps, output).await } else { Ok(Ended::Done) }
}

fn told(done: &str, targets: &[Target], (covered, nodes_told, stamps): (u64, u64, &[Stamp]), output: &Output) {
    let names: Vec<String> = targets.iter().map(ToString::to_string).collect();
    let clocks: Vec<u64> = stamps.iter().map(|stamp| stamp.clock).collect();
    let value = json!({"done": done, "targets": names, "covered": covered, "nodesTold": nodes_told, "clocks": clocks});
    output.show(&value, || format!("{done} {}: {covered} entries, {nodes_told} nodes told", names.join(", ")));
    hint(covered, output);
}

fn partition(cache: &CacheManager, key: &Key) -> usize {
    usize::from(cache.store().partition_of(key))
}

fn is_older(stamp: &Stamp, receipt: &[Stamp], partition: usize) -> bool {
    receipt.get(partition).is_some_and(|at| stamp.incarnation != at.incarnation || stamp.clock < at.clock)
}

/// What is stored behind the targets now.
async fn founds(cache: &CacheManager, targets: &[Target]) -> Result<Vec<(Key, Found)>, String> {
    let mut founds = Vec::new();
    for entry in listed(cache, targets).await? {
        let Some(key) = Key::of_name(&entry.key) else { continue };
        let lookup = cache.store().read(&key).await.map_err(|error| error.to_string())?;
        founds.extend(lookup.found.map(|found| (key, found)));
    }
    Ok(founds)
}

/// What is behind the targets now must be newer, or, of what was expired, not fresh.
async fn verify(
    cache: &CacheManager,
    verb: Verb,
    targets: &[Target],
    stamps: &[Stamp],
    output: &Output,
) -> Result<Ended, String> {
    let founds = founds(cache, targets).await?;
    let is_wrong = |(key, found): &&(Key, Found)| {
        let served = verb == Verb::Clear || matches!(found.freshness, Freshness::Fresh(_));
        served && is_older(&found.entry.stamp, stamps, partition(cache, key))
    };
    let wrong: Vec<String> = founds.iter().filter(is_wrong).map(|(key, _)| key.name().to_string()).collect();
    output.show(&json!({"verified": wrong.is_empty(), "wrong": wrong}), || {
        if wrong.is_empty() {
            "verified: nothing older is there".to_owned()
        } else {
            format!("NOT verified, these are older and may be served:\n{}", wrong.join("\n"))
        }
    });
    Ok(if wrong.is_empty() { Ended::Done } else { Ended::Found })
}
