//! The scenario player: a text file of commands and expected answers, run against whole engines on
//! simulated or real disks.
//!
//! ```text
//!  text ──parse──► Scenario ──play──► answers ──compare──► Played ──► differences, or a rewritten file
//!                                        │
//!                                      World: machines (disk + data store + engine), views, snapshots
//! ```
//!
//! * `words`, `value`, `spec`, `scenario`: the language. Every command is one row of a table
//!   ([`COMMANDS`]), so that the parser, the documentation's test and the player cannot disagree.
//! * `world`, `machine`, `held`, `points`: what a scenario plays in, how work stands still in its middle,
//!   and how it dies.
//! * `commands`: what each command does. `show`: how things look in an answer.
//! * `player`, `difference`: running a file and saying where it differs.
//!
//! Invariants
//! * No text makes the parser panic; no command makes the player panic. What a command cannot do is
//!   an answer that begins with `error`.
//! * On a simulated disk a scenario gives the same answers on every machine for one seed: nothing
//!   runs in the background, there is no clock and no thread.
//!
//! Not here: reading files and printing (the tool), what the engine does.

mod args;
mod commands;
mod difference;
mod error;
mod held;
mod machine;
mod player;
mod points;
mod scenario;
mod show;
mod spec;
mod value;
mod words;
mod world;

#[cfg(test)]
mod tests;

pub use difference::difference;
pub use error::{ParseError, ParseFault};
pub use machine::Crash;
pub use player::{Difference, Place, PlayOptions, Played, play};
pub use points::{CrashPoint, POINTS};
pub use scenario::{Item, Scenario, Step, parse, parse_bytes};
pub use spec::{ArgSpec, COMMANDS, CommandSpec, Need};
pub use value::Kind;
pub use world::World;
