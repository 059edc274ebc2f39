//! `torrens completions` and `torrens man`: made from the very arguments that the tool parses.

use std::io::{self, Write};

use clap::{Command, CommandFactory, Parser};
use clap_complete::Shell;

use crate::exit::{Exit, Failure};
use crate::output::Out;

/// Print a completion script for a shell.
#[derive(Debug, Parser)]
#[command(
    after_help = "For example: torrens completions bash > ~/.local/share/bash-completion/completions/torrens"
)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Print the manual page of the tool or of a command, as roff.
#[derive(Debug, Parser)]
#[command(
    after_help = "For example: torrens man | man -l -; torrens man repair plan > torrens-repair-plan.1"
)]
pub(crate) struct ManArgs {
    /// The command [default: the tool itself]
    command: Vec<String>,
}

/// Runs `completions`.
pub(crate) fn completions(args: &CompletionsArgs) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut crate::Cli::command(),
        "torrens",
        &mut script,
    );
    let mut out = Out::lock();
    let written = out.write_all(&script);
    out.finish(written, Exit::OK)
}

/// Runs `man`.
pub(crate) fn man(args: &ManArgs) -> Exit {
    let mut tool = crate::Cli::command();
    tool.build();
    let mut command: &Command = &tool;
    let mut name = "torrens".to_owned();
    for word in &args.command {
        let Some(found) = command.find_subcommand(word) else {
            return Failure {
                code: "no-such-command",
                message: format!("{name} has no command {word:?}"),
                hint: Some("torrens --help lists them".to_owned()),
                exit: Exit::USAGE,
            }
            .report();
        };
        command = found;
        name = format!("{name}-{}", found.get_name());
    }
    let mut page = Vec::new();
    let rendered: io::Result<()> = clap_mangen::Man::new(command.clone())
        .title(name)
        .render(&mut page);
    let mut out = Out::lock();
    let written = rendered.and_then(|()| out.write_all(&page));
    out.finish(written, Exit::OK)
}
