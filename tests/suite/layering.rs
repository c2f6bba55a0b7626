//! The house keeps its shape: imports point one way, files stay readable, and time and frameworks stay at their places.

use std::path::{Path, PathBuf};

use cache_suite::{files_under, read, workspace};

/// The modules of `cache-middleware`, lower layers first, as its documentation lists them. A module imports only from lines before its own,
/// or its own.
fn layers() -> Vec<Vec<String>> {
    let text = read("cache-middleware/src/lib.rs");
    let lines = text.lines().filter_map(|line| line.strip_prefix("//! - "));
    let names = |line: &str| {
        let list = line.split_once(": ").expect("names, and what they are").0;
        list.split(", ").map(|name| name.trim_matches(['[', ']', '`']).to_owned()).collect()
    };
    lines.map(names).collect()
}

/// Within a layer, who may import whom.
const WITHIN: [(&str, &str); 6] = [
    ("seal", "error"),
    ("seal", "digest"),
    ("flight", "entry"),
    ("private", "http"),
    ("fuzzing", "http"),
    ("fuzzing", "change"),
];

/// The modules of `http`, likewise.
const HTTP_LAYERS: [&[&str]; 6] = [
    &["field"],
    &["request"],
    &["response"],
    &["exchange"],
    &["write"],
    &["start", "cached_handler", "cache_response", "cache_http", "invalidate_cache", "rate_limit", "fuzzing"],
];

const LONGEST_FILE: usize = 400;

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let found = files_under(folder, &["rs", "lua"]);
    assert!(!found.is_empty(), "{folder} has no sources");
    found.into_iter().map(|path| (path.clone(), read(path))).collect()
}

fn layer_of<S: AsRef<str>, L: AsRef<[S]>>(module: &str, layers: &[L]) -> usize {
    let has = |layer: &L| layer.as_ref().iter().any(|name| name.as_ref() == module);
    layers.iter().position(has).unwrap_or_else(|| panic!("{module} has no layer"))
}

/// The module below a folder that a file belongs to.
fn module_of(path: &Path, folder: &str) -> String {
    let first = path.strip_prefix(workspace().join(folder)).expect("inside").components().next().expect("a name");
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The modules that a line imports from below a path.
fn imported<'a>(line: &'a str, below: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(below).map(|(at, _)| {
        let rest = &line[at + below.len()..];
        &rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())]
    })
}

#[test]
fn imports_within_http_point_one_way() {
    let folder = "cache-middleware/src/http";
    for (path, text) in sources(folder) {
        let module = module_of(&path, folder);
        if module == "mod" {
            continue;
        }
        for target in text.lines().flat_map(|line| imported(line, "crate::http::")).filter(|target| *target != module) {
            let (own, its) = (layer_of(&module, &HTTP_LAYERS), layer_of(target, &HTTP_LAYERS));
            let doors = HTTP_LAYERS.len() - 1;
            assert!(its < own || (own, its) == (doors, doors), "{}: `{module}` imports `{target}`", path.display());
        }
    }
}

#[test]
fn imports_point_one_way() {
    let (mut wrong, layers) = (Vec::new(), layers());
    for (path, text) in sources("cache-middleware/src") {
        let module = module_of(&path, "cache-middleware/src");
        if module == "lib" {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            // Links of the documentation are no imports.
            if line.trim_start().starts_with("//") {
                continue;
            }
            for target in imported(line, "crate::") {
                if target.starts_with(char::is_uppercase) || target == "escape" {
                    wrong.push(format!("{}:{}: a module imports from the crate's root", path.display(), number + 1));
                } else if target != module
                    && layer_of(target, &layers) >= layer_of(&module, &layers)
                    && !WITHIN.contains(&(module.as_str(), target))
                {
                    wrong.push(format!("{}:{}: `{module}` imports `{target}`", path.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn files_stay_readable() {
    let folders = ["cache-middleware", "cache-macros", "cachectl", "demo-app", "tests"];
    for (path, text) in folders.iter().flat_map(|folder| sources(folder)) {
        let lines = text.lines().count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines", path.display());
    }
}

/// The root of the library names things and holds none.
#[test]
fn the_root_has_no_logic() {
    let root = read("cache-middleware/src/lib.rs");
    for line in root.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for word in ["fn ", "impl ", "enum ", "trait ", "struct "] {
            assert!(!line.contains(word) || line.contains("ReadMe"), "{line}");
        }
    }
}

/// What is newer than what is decided by counters (P2): no file of the library reads the time of the host, but the one
/// that reads the dates of responses.
#[test]
fn p2_no_wall_clock_is_read() {
    for (path, text) in sources("cache-middleware/src") {
        if path.ends_with("http/field/date.rs") {
            continue;
        }
        for word in ["SystemTime", "chrono", "UNIX_EPOCH", "Utc::now"] {
            assert!(!text.contains(word), "{} reads {word}", path.display());
        }
    }
}

/// Entries hold no types of the framework, and only one folder speaks to Redis.
#[test]
fn frameworks_stay_at_the_edge() {
    for (path, text) in sources("cache-middleware/src") {
        let module = module_of(&path, "cache-middleware/src");
        let code = |word: &str| text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(word));
        if ["entry", "store", "flight", "event", "tag", "template", "policy"].contains(&module.as_str()) {
            assert!(!code("actix_web"), "{} speaks of actix-web", path.display());
        }
        if !path.components().any(|part| part.as_os_str() == "redis") {
            assert!(!code("redis::") || code("self::redis") || code("mod redis"), "{} speaks to Redis", path.display());
        }
        assert!(!code("KEYS\""), "{} uses KEYS", path.display());
    }
}
