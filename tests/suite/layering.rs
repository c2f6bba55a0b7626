//! The house keeps its shape: imports point one way, files stay readable, and time and frameworks stay at their places.

use std::path::{Path, PathBuf};

use cache_suite::{files_under, read, workspace};

/// The modules of `cache-middleware`, lower layers first. A module imports only from lines before its own, or its own.
const LAYERS: [&[&str]; 13] = [
    &["error", "time", "outcome", "digest", "chance", "breaker", "seal"],
    &["tenant", "pattern", "policy", "telemetry"],
    &["tag"],
    &["source"],
    &["template"],
    &["key", "event"],
    &["entry", "flight", "annotation", "preset", "adaptive"],
    &["store", "map"],
    &["coherence", "journal", "chaos"],
    &["l1"],
    &["manager"],
    &["http", "private", "fuzzing", "warmer", "write_behind", "change", "data", "health"],
    &["critical", "reference", "dashboard"],
];

/// Within a layer, who may import whom.
const WITHIN: [(&str, &str); 7] = [
    ("seal", "error"),
    ("seal", "digest"),
    ("flight", "entry"),
    ("private", "http"),
    ("fuzzing", "http"),
    ("fuzzing", "change"),
    ("error", "error"),
];

const LONGEST_FILE: usize = 400;

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let found = files_under(folder, &["rs", "lua"]);
    assert!(!found.is_empty(), "{folder} has no sources");
    found.into_iter().map(|path| (path.clone(), read(path))).collect()
}

fn layer_of(module: &str) -> usize {
    LAYERS.iter().position(|layer| layer.contains(&module)).unwrap_or_else(|| panic!("{module} has no layer"))
}

/// The top-level module a file belongs to.
fn module_of(path: &Path) -> String {
    let source = workspace().join("cache-middleware/src");
    let first = path.strip_prefix(source).expect("inside").components().next().expect("a name");
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The top-level modules that a line imports by `crate::`.
fn imported(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").map(|(at, _)| {
        let rest = &line[at + "crate::".len()..];
        &rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())]
    })
}

#[test]
fn imports_point_one_way() {
    let mut wrong = Vec::new();
    for (path, text) in sources("cache-middleware/src") {
        let module = module_of(&path);
        if module == "lib" {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            // Links of the documentation are no imports.
            if line.trim_start().starts_with("//") {
                continue;
            }
            for target in imported(line) {
                if target.starts_with(char::is_uppercase) || target == "escape" {
                    wrong.push(format!("{}:{}: a module imports from the crate's root", path.display(), number + 1));
                } else if target != module
                    && layer_of(target) >= layer_of(&module)
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
    let folders =
        ["cache-middleware/src", "cache-macros/src", "cachectl/src", "demo-app/src", "tests/suite", "tests/support"];
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
        let module = module_of(&path);
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
