//! The command line: one file for each subcommand, and what they share.

mod args;
mod backends;
mod bake;
mod bench;
mod convergence;
mod doctor;
mod failure;
mod fitted;
mod givens;
mod images;
mod input;
mod inspect;
mod interrupt;
mod kernel;
mod libc;
mod log;
mod maptable;
mod output;
mod planner;
mod progress;
mod record;
mod recorded;
mod roi;
mod run;
mod samples;
mod setting;
mod spacing;
mod summary;
mod tested;
mod verify;
mod view;
mod writer;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use args::{Cli, Command};

/// Parse the arguments, run the subcommand, and turn what went wrong into one line and an exit code:
/// 0 done, 1 failed, 2 misused.
pub(crate) fn main() -> ExitCode {
    libc::keep_freed();
    #[cfg(feature = "ort")]
    backends::full_precision();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return match say(&e.render().to_string()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(e) => failure::report(&e, false),
            };
        }
        Err(e) if e.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            eprintln!("{}", e.render());
            return ExitCode::from(2);
        }
        Err(e) => {
            eprintln!("mollifier: {}", usage(&e));
            return ExitCode::from(2);
        }
    };
    let verbose = cli.verbose;
    let result = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Bake(args) => bake::bake(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Verify(args) => verify::verify(&args),
        Command::Bench(args) => bench::bench(&args),
        Command::Kernel(args) => kernel::kernel(&args),
        Command::Doctor(args) => doctor::doctor(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => failure::report(&e, verbose),
    }
}

/// Print on standard output; a reader that went away (`| head`) is no error.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    match write!(out, "{text}{end}").and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(anyhow::anyhow!("standard output: {e}")),
        _ => Ok(()),
    }
}

/// A number of things, in words: `1 frame`, `3 frames`; `things` is the plural.
pub(crate) fn counted(n: u64, things: &str) -> String {
    if n == 1 { format!("1 {}", things.strip_suffix('s').unwrap_or(things)) } else { format!("{n} {things}") }
}

/// What clap has to say, as one line.
fn usage(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("tip: to pass"));
    let before = lines.take_while(|l| !l.starts_with("Usage:") && !l.starts_with("For more information"));
    let line = before.collect::<Vec<_>>().join(" ").replace(" tip: ", "; ");
    format!("{}; see --help", line.strip_prefix("error: ").unwrap_or(&line))
}
