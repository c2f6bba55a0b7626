//! What the documents say is true: the README's program runs, links lead somewhere, reasons and files exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use cache_suite::{RedisServer, asked_in, entries, files_under, get, is_of, play, read, send, workspace};

use crate::examples::{example, serve};

#[tokio::test]
async fn the_readmes_program_does_what_the_readme_says() {
    assert!(read("README.md").contains(&read("tests/programs/readme.rs")), "the README shows another program");
    let service = serve(Path::new(env!("CARGO_BIN_EXE_readme")), &[]).await;
    let port = service.address;
    let path = "/teachers/7/sessions";
    assert_eq!(get(port, path).await.cache(), "fwd=uri-miss; stored");
    assert!(get(port, path).await.is_hit());
    let json = [("content-type", "application/json")];
    assert_eq!(send(port, "POST", "/teachers/8/sessions", &json, r#"{"id":2,"title":"a"}"#).await.status, 200);
    assert!(get(port, path).await.is_hit(), "another teacher's");
    assert_eq!(send(port, "POST", path, &json, r#"{"id":2,"title":"a"}"#).await.status, 200);
    assert_eq!(get(port, path).await.cache(), "fwd=uri-miss; stored");
}

/// What pages show that no example does runs to its end, through what it asserts.
#[test]
fn what_pages_show_runs() {
    let ended = Command::new(env!("CARGO_BIN_EXE_pages")).env_remove("REDIS_URL").env_remove("REDIS_HOST").output();
    let ended = ended.expect("it starts");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

fn documents() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"].map(|name| workspace().join(name)).to_vec();
    found.extend(files_under("docs", &["md"]));
    found
}

#[test]
fn links_lead_somewhere() {
    for document in documents() {
        let text = read(&document);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("https://") {
                continue;
            }
            let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
            let folder = document.parent().expect("a folder");
            let target = if file.is_empty() { document.clone() } else { folder.join(file) };
            assert!(target.exists(), "{}: {link} leads nowhere", document.display());
            if let Some(heading) = heading {
                let known = anchors(&read(&target));
                assert!(known.contains(heading), "{}: {link} is none of {known:?}", document.display());
            }
        }
    }
}

/// What the headings of a page are called in links, as GitHub has it.
fn anchors(page: &str) -> BTreeSet<String> {
    let anchor = |heading: &str| {
        let kept = heading.to_lowercase();
        kept.chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    };
    let mut in_code = false;
    let is_heading = |line: &&str| {
        in_code ^= line.starts_with("```");
        !in_code && line.starts_with('#') && line.trim_start_matches('#').starts_with(' ')
    };
    page.lines().filter(is_heading).map(|line| anchor(line.trim_start_matches('#').trim())).collect()
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
            let text = read(&document);
            assert!(text.lines().nth(2).is_some_and(|line| line.starts_with("**TL;DR**")), "{name} has no TL;DR");
        }
    }
}

/// The pages of the index's groups about what there is to use and to run, but for two that are tables of all of it.
#[test]
fn every_page_of_a_feature_says_what_it_promises_why_its_defaults_and_how_it_fails() {
    let (index, promises) = (read("docs/README.md"), read("docs/promises.md"));
    let groups = index
        .split("\n**")
        .filter(|group| ["Cache and clear", "Beyond responses", "Run it"].iter().any(|title| group.starts_with(title)));
    let links = groups.flat_map(|group| group.split("\n| [").skip(1)).filter_map(|row| row.split(']').next());
    let pages: Vec<&str> = links
        .filter(|page| page.ends_with(".md") && !["configuration.md", "failure-modes.md"].contains(page))
        .collect();
    assert!(pages.len() > 25, "{pages:?}");
    for page in pages {
        let text = read(format!("docs/{page}"));
        let (_, end) = text.split_once("\n## Promise, defaults, failure\n").unwrap_or_else(|| panic!("{page}: no end"));
        for part in ["\n- **Promise**: ", "\n- **Defaults**: ", "\n- **How it fails**: "] {
            assert!(end.contains(part), "{page}: no {part:?}");
        }
        let promise = end.lines().find(|line| line.starts_with("- **Promise**")).expect("a line");
        let numbers = promise.split(|c: char| !c.is_ascii_alphanumeric());
        for number in numbers.filter(|word| word.starts_with('P') && word[1..].parse::<u8>().is_ok()) {
            assert!(promises.contains(&format!("| **{number}** |")), "{page}: there is no {number}");
        }
    }
}

/// A promise without a test is a wish.
#[test]
fn every_promise_has_tests_of_its_name() {
    let sources = ["cache-middleware", "tests", "demo-app", "cachectl"].into_iter();
    let sources: Vec<String> = sources.flat_map(|folder| files_under(folder, &["rs"])).map(read).collect();
    let promises = read("docs/promises.md");
    let numbers: Vec<&str> =
        promises.lines().filter_map(|line| line.strip_prefix("| **P")?.split('*').next()).collect();
    assert_eq!(numbers.len(), 11);
    for number in numbers {
        let name = format!("fn p{number}_");
        assert!(sources.iter().any(|source| source.contains(&name)), "P{number} has no test");
    }
}

/// The blocks of a language in a text, as they stand there.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let mut parts = text.split("```");
    let mut found = Vec::new();
    while let (Some(_), Some(block)) = (parts.next(), parts.next()) {
        found.extend(block.strip_prefix(language).and_then(|rest| rest.strip_prefix('\n')));
    }
    found
}

/// Lines without what is about their place.
fn plain<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    let lines = lines.into_iter().map(str::trim).filter(|line| !line.is_empty());
    lines.fold(String::from("\n"), |text, line| text + line + "\n")
}

/// The programs whose parts pages show: compiled, and run.
fn programs() -> Vec<String> {
    let folders = ["cache-middleware/examples", "tests/programs", "demo-app/src"];
    let sources = folders.into_iter().flat_map(entries).filter(|path| is_of(path, &["rs"]));
    sources.map(|path| plain(read(path).lines())).collect()
}

/// Of each block every part, as blank lines divide it, is in a program as it stands. What a change is shown of, is there after it.
#[test]
fn what_pages_show_of_rust_is_compiled() {
    let (programs, mut shown) = (programs(), 0);
    for document in documents() {
        let text = read(&document);
        assert!(!text.contains("```rust,ignore"), "{} shows what nothing compiles", document.display());
        let code = blocks(&text, "rust").into_iter().map(str::to_owned);
        let after = |block: &str| -> String {
            let lines = block.lines().filter(|line| !line.starts_with('-'));
            lines.map(|line| line.get(1..).unwrap_or_default().to_owned() + "\n").collect()
        };
        let changed = blocks(&text, "diff").into_iter().map(after);
        for block in code.chain(changed) {
            for part in block.split("\n\n") {
                let part = plain(part.lines());
                assert!(
                    programs.iter().any(|program| program.contains(&part)),
                    "{}: no program has{part}",
                    document.display()
                );
                shown += 1;
            }
        }
    }
    assert!(shown >= 40, "{shown} parts are shown");
}

/// What commands name is there.
#[test]
fn commands_name_what_there_is() {
    let manifest = read("tests/Cargo.toml") + &read("cache-middleware/Cargo.toml");
    for document in documents() {
        let text = read(&document);
        let lines: Vec<&str> = blocks(&text, "sh").into_iter().flat_map(str::lines).collect();
        for line in lines.iter().filter(|line| line.contains("cargo ")) {
            let words: Vec<&str> = line.split(" # ").next().unwrap_or_default().split_whitespace().collect();
            for pair in words.windows(2) {
                let there = match pair[0] {
                    "-p" if pair[1] == "cache-suite" => true,
                    "-p" | "--path" => workspace().join(pair[1]).join("Cargo.toml").exists(),
                    "--example" => workspace().join(format!("cache-middleware/examples/{}.rs", pair[1])).exists(),
                    "--bin" | "--bench" => manifest.contains(&format!("name = \"{}\"", pair[1])),
                    _ => true,
                };
                assert!(there, "{}: {line}: {} {}", document.display(), pair[0], pair[1]);
            }
        }
    }
}

/// A service that is started as a page says, asked as it says.
#[tokio::test]
async fn getting_started_is_as_it_says() {
    let page = read("docs/getting-started.md");
    let [alone, fleet] =
        &blocks(&page, "sh").into_iter().map(asked_in).filter(|lines| !lines.is_empty()).collect::<Vec<_>>()[..]
    else {
        panic!("there is a service, and then there are three");
    };
    let one = serve(&example("getting_started"), &[]).await;
    play(&[one.address], alone).await;
    drop(one);
    let server = RedisServer::start();
    let settings = [("REDIS_URL", server.url()), ("CACHE_COHERENCE", "strict".to_owned())];
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(serve(&example("getting_started"), &settings).await);
    }
    play(&nodes.iter().map(|node| node.address).collect::<Vec<_>>(), fleet).await;
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
