//! The `torrens` tool: one module per command, nothing else here.
//!
//! The reading commands never lock, map or change a directory; see `exit` for what the exit codes
//! mean and `output` for how a closed pipe ends a command.

mod dump;
mod exit;
mod info;
mod json;
mod look;
mod output;
mod render;
mod select;
mod state;
mod verdict;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Looks at a torrens store: what is in its journal, and what that means.
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
    Verify(verify::Args),
    State(state::Args),
}

fn main() -> ExitCode {
    let exit = match Cli::parse().command {
        Command::Info(args) => info::run(args),
        Command::Dump(args) => dump::run(args),
        Command::Verify(args) => verify::run(args),
        Command::State(args) => state::run(args),
    };
    exit.into()
}
