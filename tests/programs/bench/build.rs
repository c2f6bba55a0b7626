//! A clean build of the library beside one of actix-web alone.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use cache_suite::temporary_folder;

use crate::table::{Goal, Row, Table};

/// Seconds that a clean build of a package takes, which depends on one other.
fn build(dependency: &str) -> Result<f64, String> {
    let folder = temporary_folder("bench-build");
    let manifest = format!(
        "[package]\nname = \"built\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n{dependency}\n"
    );
    let source = folder.join("src");
    std::fs::create_dir_all(&source)
        .and_then(|()| std::fs::write(source.join("lib.rs"), ""))
        .and_then(|()| std::fs::write(folder.join("Cargo.toml"), manifest))
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    // The same versions, so that nothing else is measured.
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    std::fs::copy(lock, folder.join("Cargo.lock")).map_err(|error| error.to_string())?;
    let cargo = |word: &str| {
        let mut command = Command::new("cargo");
        command
            .arg(word)
            .current_dir(&folder)
            .env_remove("CARGO_TARGET_DIR")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    cargo("fetch").status().map_err(|error| format!("cargo: {error}"))?;
    let began = Instant::now();
    let built = cargo("build").status().map_err(|error| format!("cargo: {error}"))?;
    let took = began.elapsed().as_secs_f64();
    std::fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
    if built.success() { Ok(took) } else { Err(format!("{dependency} does not build")) }
}

pub(crate) fn measure(table: &mut Table) -> Result<(), String> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cache-middleware");
    let floor = build("actix-web = { version = \"4\", default-features = false, features = [\"macros\"] }")?;
    let ours = build(&format!("cache-middleware = {{ path = {own:?} }}"))?;
    table.add(Row::of(
        "clean build with default features, beside actix-web",
        "s",
        &[(ours, floor)],
        Goal::RatioAtMost(1.5),
    ));
    Ok(())
}
