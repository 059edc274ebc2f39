//! The table of commands: what each takes, in which form, and what carries it out.
//!
//! Not here: what they do (`commands`).

use std::collections::BTreeSet;

use super::args::Args;
use super::value::Kind;
use super::words::{Misplaced, Word};
use super::world::{Lines, Trouble, World};
use super::{ParseFault, commands};

/// Carries a command out.
pub(super) type Run = fn(&mut World, &Args) -> Result<Lines, Trouble>;

/// One command of the language.
#[derive(Clone, Copy, Debug)]
pub struct CommandSpec {
    /// Its first word.
    pub name: &'static str,
    /// What it takes.
    pub args: &'static [ArgSpec],
    /// What it does, in a sentence.
    pub help: &'static str,
    pub(super) run: Run,
}

/// One argument of a command.
#[derive(Clone, Copy, Debug)]
pub struct ArgSpec {
    /// Its name.
    pub name: &'static str,
    /// Its form.
    pub kind: Kind,
    /// How it is given.
    pub need: Need,
}

/// How an argument is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// By its place, without a name; always.
    Place,
    /// By its place, if at all.
    PlaceOptional,
    /// As `name=value`; always.
    Required,
    /// As `name=value`, if at all.
    Optional,
    /// As `name=value`, as often as one likes.
    Many,
}

/// Every command, family by family.
pub const COMMANDS: &[&[CommandSpec]] = commands::ALL;

pub(super) const fn at(name: &'static str, kind: Kind) -> ArgSpec {
    let need = Need::Place;
    ArgSpec { name, kind, need }
}

pub(super) const fn maybe_at(name: &'static str, kind: Kind) -> ArgSpec {
    let need = Need::PlaceOptional;
    ArgSpec { name, kind, need }
}

pub(super) const fn must(name: &'static str, kind: Kind) -> ArgSpec {
    let need = Need::Required;
    ArgSpec { name, kind, need }
}

pub(super) const fn may(name: &'static str, kind: Kind) -> ArgSpec {
    let need = Need::Optional;
    ArgSpec { name, kind, need }
}

pub(super) const fn many(name: &'static str, kind: Kind) -> ArgSpec {
    let need = Need::Many;
    ArgSpec { name, kind, need }
}

pub(super) const fn command(
    name: &'static str,
    args: &'static [ArgSpec],
    run: Run,
    help: &'static str,
) -> CommandSpec {
    CommandSpec {
        name,
        args,
        help,
        run,
    }
}

/// Reads a command line's words. There is at least one: an empty line is no command.
pub(super) fn read(words: &[Word]) -> Result<(&'static CommandSpec, Args), Misplaced> {
    let Some((first, rest)) = words.split_first() else {
        return Err((1, ParseFault::NoCommand));
    };
    let name = whole(first);
    let found = COMMANDS.iter().copied().flatten();
    let Some(spec) = found.into_iter().find(|spec| spec.name == name) else {
        return Err((first.column, ParseFault::UnknownCommand { name }));
    };
    let mut args = Args::default();
    let mut places = spec
        .args
        .iter()
        .filter(|arg| matches!(arg.need, Need::Place | Need::PlaceOptional));
    let mut seen = BTreeSet::new();
    for word in rest {
        let arg = match &word.name {
            None => places.next(),
            Some(name) => named(spec, name),
        };
        let Some(arg) = arg else {
            let (command, name) = (spec.name, whole(word));
            return Err((word.column, ParseFault::UnknownArgument { command, name }));
        };
        if !seen.insert(arg.name) && arg.need != Need::Many {
            let (command, name) = (spec.name, arg.name);
            return Err((word.column, ParseFault::ArgumentTwice { command, name }));
        }
        let Some(value) = arg.kind.read(&word.value) else {
            let given = String::from_utf8_lossy(&word.value).into_owned();
            let fault = ParseFault::BadValue {
                command: spec.name,
                name: arg.name,
                must: arg.kind.form(),
                given,
            };
            return Err((word.column, fault));
        };
        args.given.push((arg.name, value));
    }
    let missing = spec
        .args
        .iter()
        .find(|arg| matches!(arg.need, Need::Place | Need::Required) && !seen.contains(arg.name));
    match missing {
        None => Ok((spec, args)),
        Some(arg) => {
            let (command, name) = (spec.name, arg.name);
            Err((first.column, ParseFault::ArgumentMissing { command, name }))
        }
    }
}

fn named(spec: &'static CommandSpec, name: &str) -> Option<&'static ArgSpec> {
    let by_name =
        |arg: &&ArgSpec| arg.name == name && !matches!(arg.need, Need::Place | Need::PlaceOptional);
    spec.args.iter().find(by_name)
}

/// A word as it was meant when nobody knew that it would be an argument.
fn whole(word: &Word) -> String {
    let value = String::from_utf8_lossy(&word.value);
    match &word.name {
        None => value.into_owned(),
        Some(name) => format!("{name}={value}"),
    }
}
