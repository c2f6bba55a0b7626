//! `cachectl`: what is in a running namespace, who clears it, and whether it fits together.

mod arguments;
mod check;
mod clear;
mod connect;
mod look;
mod output;
mod watch;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use arguments::{Arguments, Command};
use clear::Verb;
use output::{Ended, Output};

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("off")).init();
    let arguments = Arguments::parse();
    let output = Output::new(arguments.json);
    let ended = run(&arguments, &output).await;
    ended
        .unwrap_or_else(|why| {
            output.failed(&why);
            Ended::Failed
        })
        .into()
}

async fn run(arguments: &Arguments, output: &Output) -> Result<Ended, String> {
    if let Command::Completions { shell } = &arguments.command {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut Arguments::command(), "cachectl", &mut script);
        // A closed pipe is no reason to fail.
        let _ = std::io::Write::write_all(&mut std::io::stdout(), &script);
        return Ok(Ended::Done);
    }
    let cache = connect::connect(arguments, output).await?;
    match &arguments.command {
        Command::Stats => look::stats(&cache, output).await,
        Command::Tags { most } => look::tags(&cache, *most, output).await,
        Command::Entries { tag, limit } => look::entries(&cache, tag, *limit, output).await,
        Command::Show { key } => look::show(&cache, key, output).await,
        Command::Preview { what } => clear::preview(&cache, what, arguments, output).await,
        Command::Clear { what, how } => clear::act(&cache, Verb::Clear, (what, how), arguments, output).await,
        Command::Expire { what, how } => clear::act(&cache, Verb::Expire, (what, how), arguments, output).await,
        Command::Watch { count } => watch::watch(&cache, *count, output).await,
        Command::Health => check::health(&cache, output).await,
        Command::Doctor => check::doctor(&cache, output).await,
        Command::Completions { .. } => Ok(Ended::Done),
    }
}
