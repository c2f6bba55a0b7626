//! What is published: metadata, the licences of all that comes with it, and the oldest Rust that can build it.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use cache_suite::{read, workspace};
use serde_json::Value;

const PUBLISHED: [&str; 2] = ["cache-middleware", "cache-macros"];

/// What cargo knows of the packages, as far as they are built here; it is asked once.
static METADATA: LazyLock<Value> = LazyLock::new(|| {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--locked", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"]);
    let output = cargo.current_dir(workspace()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
});

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The published packages, and all that comes with them when they are built with every feature.
fn with_dependencies() -> Vec<&'static Value> {
    let packages = array(&METADATA["packages"]);
    let nodes = array(&METADATA["resolve"]["nodes"]);
    let own = packages.iter().filter(|package| PUBLISHED.contains(&text(package, "name")));
    let mut waiting: Vec<&str> = own.map(|package| text(package, "id")).collect();
    let mut known: HashSet<&str> = HashSet::new();
    while let Some(id) = waiting.pop() {
        if !known.insert(id) {
            continue;
        }
        let node = nodes.iter().find(|node| text(node, "id") == id).expect("a node");
        let built =
            |dependency: &&Value| array(&dependency["dep_kinds"]).iter().any(|kind| text(kind, "kind") != "dev");
        waiting.extend(array(&node["deps"]).iter().filter(built).map(|dependency| text(dependency, "pkg")));
    }
    packages.iter().filter(|package| known.contains(text(package, "id"))).collect()
}

#[test]
fn packages_say_what_they_are() {
    for name in PUBLISHED {
        let package =
            array(&METADATA["packages"]).iter().find(|package| text(package, "name") == name).expect("a package");
        for field in ["description", "license", "readme", "documentation", "rust_version"] {
            assert!(!text(package, field).is_empty(), "{name} has no {field}");
        }
        assert!(!array(&package["keywords"]).is_empty() && !array(&package["categories"]).is_empty(), "{name}");
        let folder = Path::new(text(package, "manifest_path")).parent().expect("a folder");
        for file in ["LICENSE-MIT", "LICENSE-APACHE"] {
            assert!(folder.join(file).exists(), "{name} is published without {file}");
        }
    }
}

/// Each can be had under one of the licences that `deny.toml` allows.
#[test]
fn licences_are_allowed() {
    let deny = read("deny.toml");
    let allowed = deny.split_once("allow = [").and_then(|(_, rest)| rest.split_once(']')).expect("a list").0;
    let allowed: HashSet<&str> = allowed.split('"').skip(1).step_by(2).collect();
    for package in with_dependencies() {
        let licence = text(package, "license");
        // Of `(MIT OR Apache-2.0) AND Unicode-3.0` one of the first is enough, and the last is needed.
        let has = |term: &str| term.split([' ', '/', '(', ')']).any(|word| allowed.contains(word));
        assert!(licence.split(" AND ").all(has), "{} is under {licence:?}", text(package, "name"));
    }
}

/// The Rust that the README promises can build whatever comes with the packages.
#[test]
fn the_oldest_rust_builds_all_that_comes_with_it() {
    let number = |version: &str| -> Vec<u32> { version.split('.').filter_map(|part| part.parse().ok()).collect() };
    let packages = with_dependencies();
    let own = packages.iter().find(|package| text(package, "name") == PUBLISHED[0]).expect("the package");
    let oldest = text(own, "rust_version");
    let readme = read("README.md");
    assert!(readme.contains(&format!("Rust {oldest} or newer")), "the README promises another");
    assert!(packages.len() > 100);
    for package in packages {
        let needs = text(package, "rust_version");
        assert!(number(needs) <= number(oldest), "{} needs Rust {needs}", text(package, "name"));
    }
}

/// Whoever looks for a feature finds what it adds, and whether it is on.
#[test]
fn every_feature_is_documented() {
    let (manifest, page) = (read("cache-middleware/Cargo.toml"), read("docs/configuration.md"));
    let section = manifest.split("\n[features]\n").nth(1).and_then(|rest| rest.split("\n[").next()).expect("features");
    let features = section.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    let names: Vec<&str> = features.filter_map(|line| line.split(" =").next()).collect();
    let defaults = section.lines().next().expect("the defaults");
    assert!(names.len() > 8 && defaults.starts_with("default = "), "{names:?}");
    for name in names.into_iter().filter(|name| *name != "default") {
        let state = if defaults.contains(&format!("\"{name}\"")) { "on" } else { "off" };
        let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` | ")));
        assert!(row.is_some_and(|row| row.ends_with(&format!("| {state} |"))), "{name} is {state}: {row:?}");
    }
}
