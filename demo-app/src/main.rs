//! A service whose reads are cached and whose writes clear exactly what they make wrong: lessons, a pantry, sales, tenants.

mod answer;
mod app;
mod client;
mod counters;
mod crm;
mod database;
mod fleet;
mod handlers;
mod identity;
mod input;
mod observe;
mod random;
mod settings;
mod warm;
mod wrapper;

use std::io::Write;
use std::process::ExitCode;

use settings::Settings;

const USAGE: &str = "\
demo-app                                           the service at BIND (127.0.0.1:8080); its routes: docs/demo.md
demo-app fleet [--nodes N] [--seconds N]           several nodes on one Redis, with a little load
demo-app wrapper                                   the service that is the authority on credits, roles and users, at BIND
                                                   (127.0.0.1:8090); give its address to the others as WRAPPER_URL
demo-app map [text|json|mermaid|graphviz]          which routes have which tags, and what clears them
demo-app warm [--address A] [--teachers N] [--per-second N]
                                                   fills the cache of a running service

REDIS_URL shares the cache; DATABASE_URL=sqlite://file keeps the data. All variables: docs/configuration.md";

#[actix_web::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The map says itself what there is to be warned of.
    let filter = if arguments.first().is_some_and(|word| word == "map") { "error" } else { "info" };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(filter)).init();
    let help = |word: &String| ["--help", "-h", "help"].contains(&word.as_str());
    let ended = match arguments.split_first() {
        None => start().await,
        Some(_) if arguments.iter().any(help) => {
            println!("{USAGE}");
            Ok(())
        }
        Some((word, options)) if word == "fleet" => match fleet::Options::parse(options) {
            Ok(options) => fleet::run(options).await,
            Err(why) => Err(why),
        },
        Some((word, options)) if word == "warm" => match warm::Options::parse(options) {
            Ok(options) => warm::run(options).await,
            Err(why) => Err(why),
        },
        Some((word, [form])) if word == "map" && !form.starts_with('-') => print_map(form).await,
        Some((word, [])) if word == "map" => print_map("text").await,
        Some((word, forms)) if word == "map" => {
            Err(format!("`map` takes no {forms:?}: it is followed by text, json, mermaid or graphviz, or by nothing"))
        }
        Some((word, [])) if word == "wrapper" => start_wrapper().await,
        Some((word, options)) if word == "wrapper" => Err(format!(
            "`wrapper` takes no {options:?}: BIND, REDIS_URL and the others set it up (docs/configuration.md)"
        )),
        Some((word, _)) => Err(format!(
            "there is no {word:?}: run it without a word, with `fleet --nodes 3`, `wrapper`, `map` or `warm`; `--help` tells more"
        )),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("demo-app cannot start: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn start() -> Result<(), String> {
    let settings = Settings::from_env()?;
    if settings.ends_with_input {
        fleet::end_with_input();
    }
    let database = database::Database::open(&settings.database)?;
    let recorded = observe::record()?;
    let cache = app::cache().await.map_err(|error| error.to_string())?;
    let server = app::server(settings, database, (cache, recorded)).await?;
    // A closed pipe is no reason to end.
    let _ = writeln!(std::io::stdout(), "{}", app::what_to_try(&server.address));
    server.running.await.map_err(|error| error.to_string())
}

/// What clears what, by the annotations and rules of this program.
async fn print_map(form: &str) -> Result<(), String> {
    let cache = app::rules().build().await.map_err(|error| error.to_string())?;
    let map = cache.map();
    let text = match form {
        "text" => map.to_string(),
        "json" => serde_json::to_string_pretty(&map).map_err(|error| error.to_string())? + "\n",
        "mermaid" => map.to_mermaid(),
        "graphviz" => map.to_graphviz(),
        _ => return Err(format!("`map` has no form {form:?}: it is text, json, mermaid or graphviz")),
    };
    let _ = write!(std::io::stdout(), "{text}");
    Ok(())
}

async fn start_wrapper() -> Result<(), String> {
    let settings = Settings::of_wrapper()?;
    if settings.ends_with_input {
        fleet::end_with_input();
    }
    let cache = app::cache().await.map_err(|error| error.to_string())?;
    if !app::is_shared() {
        log::warn!(
            "without REDIS_URL nobody hears what changes here: others learn of it when they load everything again"
        );
    }
    let wrapper = wrapper::Wrapper::open(&settings, &cache).await?;
    let bind = settings.bind;
    let (address, server) = wrapper
        .server(bind, 2)
        .map_err(|error| format!("BIND={bind:?} cannot be listened on ({error}): choose another address or port"))?;
    let base = format!("http://{address}");
    let _ = writeln!(
        std::io::stdout(),
        "\nListening on {base}. Try, in another terminal:\n\n  WRAPPER_URL={base}/wrapper cargo run -p demo-app\n  curl {base}/wrapper/credit-configs\n"
    );
    server.await.map_err(|error| error.to_string())
}
