//! The `torrens` tool: one module per command, nothing else here.
//!
//! The reading commands never lock, map or change a directory; see `exit` for what the exit codes
//! mean and `output` for how a closed pipe ends a command. `repair` changes one, by a plan that was read.
//! `torture` torments a store of its own.

mod build;
mod bundle;
mod changes;
mod decoder;
mod diff;
mod dump;
mod exit;
mod explain;
mod extract;
mod fresh;
mod gate;
mod info;
mod interrupt;
mod json;
mod lineage;
mod lnav;
mod look;
mod meta;
mod observers;
mod output;
mod owner;
mod pager;
mod paint;
mod parts;
mod play;
mod progress;
mod record;
mod render;
mod repair;
mod report;
mod schema;
mod select;
mod serve;
mod sheet;
mod show;
mod simulate;
mod state;
mod stats;
mod stores;
mod tail;
mod timeline;
mod torture;
#[cfg(feature = "tui")]
mod tui;
mod verdict;
mod verify;
mod view;
mod why;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Looks at a torrens store: what is in its journal, and what that means. Torments one, too.
#[derive(Debug, Parser)]
#[command(
    name = "torrens",
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Info(info::Args),
    Dump(dump::Args),
    Tail(tail::Args),
    Verify(verify::Args),
    Show(show::Args),
    State(state::Args),
    Observers(observers::Args),
    Diff(diff::Args),
    Timeline(timeline::Args),
    Lineage(lineage::Args),
    Owner(owner::Args),
    Why(why::Args),
    Gate(gate::Args),
    Stats(stats::Args),
    Explain(explain::Args),
    Report(report::Args),
    Serve(serve::Args),
    #[cfg(feature = "tui")]
    Tui(tui::Args),
    Repair(repair::Args),
    Truncate(repair::TruncateArgs),
    Play(play::Args),
    Torture(torture::Args),
    Extract(extract::Args),
    Build(build::Args),
    Simulate(simulate::Args),
    Bundle(bundle::Args),
    Schema(schema::Args),
    Completions(meta::CompletionsArgs),
    Man(meta::ManArgs),
    LnavFormat(lnav::Args),
    /// The storage process that `torture` starts and kills.
    #[command(hide = true)]
    TortureChild(torture::ChildArgs),
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    // Torture tells its own children when to end.
    if !matches!(command, Command::Torture(_) | Command::TortureChild(_)) {
        interrupt::listen();
    }
    let exit = run(command);
    let exit = match decoder::failure() {
        Some(failure) => failure.report().into(),
        None => exit,
    };
    pager::end();
    exit
}

fn run(command: Command) -> ExitCode {
    match command {
        Command::Info(args) => info::run(args).into(),
        Command::Dump(args) => dump::run(args).into(),
        Command::Tail(args) => tail::run(args).into(),
        Command::Verify(args) => verify::run(args).into(),
        Command::Show(args) => show::run(args).into(),
        Command::State(args) => state::run(args).into(),
        Command::Observers(args) => observers::run(args).into(),
        Command::Diff(args) => diff::run(args).into(),
        Command::Timeline(args) => timeline::run(args).into(),
        Command::Lineage(args) => lineage::run(args).into(),
        Command::Owner(args) => owner::run(args).into(),
        Command::Why(args) => why::run(args).into(),
        Command::Gate(args) => gate::run(args).into(),
        Command::Stats(args) => stats::run(args).into(),
        Command::Explain(args) => explain::run(args).into(),
        Command::Report(args) => report::run(args).into(),
        Command::Serve(args) => serve::run(args).into(),
        #[cfg(feature = "tui")]
        Command::Tui(args) => tui::run(args).into(),
        Command::Play(args) => play::run(args).into(),
        Command::Repair(args) => repair::run(args).into(),
        Command::Truncate(args) => repair::truncate(args).into(),
        Command::Extract(args) => extract::run(&args).into(),
        Command::Build(args) => build::run(&args).into(),
        Command::Simulate(args) => simulate::run(&args).into(),
        Command::Bundle(args) => bundle::run(&args).into(),
        Command::Schema(args) => schema::run(&args).into(),
        Command::Completions(args) => meta::completions(&args).into(),
        Command::Man(args) => meta::man(&args).into(),
        Command::LnavFormat(args) => lnav::run(&args).into(),
        Command::Torture(args) => torture::run(args),
        Command::TortureChild(args) => torture::run_child(args),
    }
}
