//! The `torrens` tool: one module per verb, each with its `Args` and a `run` that answers an exit
//! code. This file only parses the command line and hands over.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod torture;

/// Looks into a Torrens store, and torments one.
#[derive(Debug, Parser)]
#[command(name = "torrens", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Torture(torture::Args),
    #[command(hide = true)]
    TortureChild(torture::ChildArgs),
}

fn main() -> ExitCode {
    match Cli::parse().verb {
        Verb::Torture(args) => torture::run(args),
        Verb::TortureChild(args) => torture::run_child(args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
