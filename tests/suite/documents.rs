//! What the documents say is true: the README's program runs, links lead somewhere, reasons and files exist.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cache_suite::{get, send};

use crate::examples::{Running, until_it_serves};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[tokio::test]
async fn the_readmes_program_does_what_the_readme_says() {
    assert!(read("README.md").contains(&read("tests/programs/readme.rs")), "the README shows another program");
    let port = std::net::SocketAddr::from(([127, 0, 0, 1], cache_suite::free_port()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_readme"));
    command.arg(port.to_string()).env_remove("REDIS_URL").env_remove("REDIS_HOST").stdout(Stdio::null());
    let _running = Running(command.spawn().expect("the program starts"));
    until_it_serves(port).await;
    let path = "/teachers/7/sessions";
    assert_eq!(get(port, path).await.cache(), "fwd=uri-miss; stored");
    assert!(get(port, path).await.is_hit());
    let json = [("content-type", "application/json")];
    assert_eq!(send(port, "POST", "/teachers/8/sessions", &json, r#"{"id":2,"title":"a"}"#).await.status, 200);
    assert!(get(port, path).await.is_hit(), "another teacher's");
    assert_eq!(send(port, "POST", path, &json, r#"{"id":2,"title":"a"}"#).await.status, 200);
    assert_eq!(get(port, path).await.cache(), "fwd=uri-miss; stored");
}

fn documents() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                walk(&entry, found);
            } else if entry.extension().is_some_and(|extension| extension == "md") {
                found.push(entry);
            }
        }
    }
    let mut found =
        vec!["README.md", "CHANGELOG.md", "CONTRIBUTING.md"].into_iter().map(|name| workspace().join(name)).collect();
    walk(&workspace().join("docs"), &mut found);
    found
}

#[test]
fn links_lead_somewhere() {
    for document in documents() {
        let text = std::fs::read_to_string(&document).expect("a text");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("https://") {
                continue;
            }
            let target = document.parent().expect("a folder").join(link.split('#').next().unwrap_or_default());
            assert!(target.exists(), "{}: {link} leads nowhere", document.display());
        }
    }
}

#[test]
fn every_page_is_in_the_index_and_begins_with_its_gist() {
    let index = read("docs/README.md");
    for document in documents() {
        let name = document.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let in_docs = document.parent().is_some_and(|parent| parent.ends_with("docs"));
        if !in_docs || name == "README.md" {
            continue;
        }
        assert!(index.contains(&format!("({name})")), "{name} is not in the index");
        if name != "glossary.md" {
            let text = std::fs::read_to_string(&document).expect("a text");
            assert!(text.lines().nth(2).is_some_and(|line| line.starts_with("**TL;DR**")), "{name} has no TL;DR");
        }
    }
}

/// Every reason that a response may carry is explained.
#[test]
fn p11_every_reason_is_documented() {
    let page = read("docs/http.md");
    let words = read("cache-middleware/src/outcome/reason.rs");
    let tokens: Vec<&str> = words
        .lines()
        .filter_map(|line| line.trim().strip_suffix("\",")?.split_once(" = \""))
        .map(|(_, token)| token)
        .collect();
    assert!(tokens.len() > 25, "{tokens:?}");
    for token in tokens {
        assert!(page.contains(&format!("`{token}`")), "{token} is not in docs/http.md");
    }
}
