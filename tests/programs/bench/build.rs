//! What the library costs who compiles with it: a clean build beside one of actix-web alone, and each annotated handler beside the same
//! without an annotation.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use cache_suite::{TemporaryFolder, temporary_folder, workspace};

use crate::table::{Goal, Row, Table};

const ACTIX: &str = "actix-web = { version = \"4\", default-features = false, features = [\"macros\"] }";
/// So many handlers are compiled, and so often.
const HANDLERS: u32 = 200;
const ROUNDS: usize = 5;

/// A package in a folder of its own.
struct Package {
    folder: TemporaryFolder,
}

impl Package {
    fn of(dependencies: &str) -> Result<Self, String> {
        let package = Self { folder: temporary_folder("bench-build") };
        let manifest = format!(
            "[package]\nname = \"built\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n{dependencies}\n"
        );
        std::fs::create_dir_all(package.folder.join("src")).map_err(|error| error.to_string())?;
        package.write("src/lib.rs", "")?;
        package.write("Cargo.toml", &manifest)?;
        // The same versions, so that nothing else is measured.
        let lock = workspace().join("Cargo.lock");
        std::fs::copy(lock, package.folder.join("Cargo.lock")).map_err(|error| error.to_string())?;
        package.cargo("fetch")?;
        Ok(package)
    }

    fn write(&self, file: &str, text: &str) -> Result<(), String> {
        std::fs::write(self.folder.join(file), text).map_err(|error| format!("{file}: {error}"))
    }

    /// The seconds that a command takes.
    fn cargo(&self, command: &str) -> Result<f64, String> {
        let began = Instant::now();
        let ended = Command::new("cargo")
            .arg(command)
            .current_dir(&*self.folder)
            .env_remove("CARGO_TARGET_DIR")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(|error| format!("cargo: {error}"))?;
        let took = began.elapsed().as_secs_f64();
        if ended.success() { Ok(took) } else { Err(format!("cargo {command} fails in {}", self.folder.display())) }
    }

    /// The seconds that a command takes for a source.
    fn compile(&self, source: &str, command: &str) -> Result<f64, String> {
        self.write("src/lib.rs", source)?;
        self.cargo(command)
    }
}

/// Reads, each below its annotation, if it has one. `round` has it be another source each time.
fn handlers(annotated: bool, round: usize) -> String {
    let mut source = "use actix_web::web::{Json, Path};\n".to_owned();
    for number in 0..HANDLERS {
        let annotation =
            if annotated { "#[cache_middleware::cached(ttl = \"5m\", tags = [\"teacher:{teacher}\"])]\n" } else { "" };
        let _ = write!(
            source,
            "#[actix_web::get(\"/teachers/{{teacher}}/{number}\")]\n{annotation}\
             pub async fn list{number}(teacher: Path<u64>) -> Json<Vec<u64>> {{ Json(vec![*teacher, {round}]) }}\n"
        );
    }
    source
}

pub(crate) fn measure(table: &mut Table) -> Result<(), String> {
    let own = format!(
        "cache-middleware = {{ path = {:?} }}",
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../cache-middleware")
    );
    let floor = Package::of(ACTIX)?.cargo("build")?;
    let ours = Package::of(&own)?.cargo("build")?;
    table.add(Row::of(
        "clean build with default features, beside actix-web",
        "s",
        &[(ours, floor)],
        Goal::RatioAtMost(1.5),
    ));
    let package = Package::of(&format!("{own}\n{ACTIX}"))?;
    for command in ["check", "build"] {
        package.compile("", command)?;
        let mut pairs = Vec::new();
        for round in 0..ROUNDS {
            let each = |seconds: f64| seconds * 1_000.0 / f64::from(HANDLERS);
            let ours = package.compile(&handlers(true, round), command)?;
            pairs.push((each(ours), each(package.compile(&handlers(false, round), command)?)));
        }
        let name = format!("cargo {command} of a handler: annotated, beside not");
        table.add(Row::of(&name, "ms", &pairs, Goal::Told));
    }
    Ok(())
}
