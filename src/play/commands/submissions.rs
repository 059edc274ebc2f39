//! Submitted transitions, and what became of them.

use super::{creation_of, epoch_of};
use crate::engine::{Answer, Engine, EngineError, Submission, TransitionTicket};
use crate::lifecycle::{DestroyCause, PeerChange};
use crate::play::args::Args;
use crate::play::machine::Machine;
use crate::play::show;
use crate::play::spec::{CommandSpec, at, command, may};
use crate::play::value::Kind;
use crate::play::world::{Lines, Trouble, World};
use crate::{Peer, StoreId};

const WHAT: Kind = Kind::Word(&[
    "create-peer",
    "add-learner",
    "remove-peer",
    "destroy",
    "collect",
]);

pub(super) const COMMANDS: &[CommandSpec] = &[
    command(
        "submit",
        &[
            at("what", WHAT),
            at("region", Kind::Region),
            at("peer", Kind::Peer),
            may("store", Kind::Store),
            may("at", Kind::Position),
            may("epoch", Kind::Epoch),
            may("incarnation", Kind::Incarnation),
        ],
        submit,
        "Decides a transition and appends its record; its answer comes with `settle`. Other transitions are submitted by their own commands with `by=ticket`. `at` is for changes of peers, `store` is where the learner lives or the message comes from.",
    ),
    command(
        "settle",
        &[],
        settle,
        "Waits for everything submitted and not answered yet, and shows the answers in the order of submission.",
    ),
];

/// How a transition is carried out, for the commands that leave the choice: waited for, unless this says
/// otherwise.
pub(super) const BY: Kind = Kind::Word(&["ticket"]);

/// Carries a transition out as `by` says: waits for it, or submits it and leaves its answer to `settle`.
pub(super) fn carry_out(
    world: &mut World,
    args: &Args,
    what: &str,
    submission: Submission,
    wait: impl FnOnce(&Engine) -> Result<Answer, EngineError>,
) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    if args.opt_word("by").is_none() {
        let answer = wait(machine.engine()?)?;
        return world.answered(answer);
    }
    let label = format!("{what} {}", submission.region());
    leave(machine, label, submission)
}

/// Submits a transition, and keeps its ticket.
fn leave(machine: &mut Machine, label: String, submission: Submission) -> Result<Lines, Trouble> {
    let ticket = machine.engine()?.submit(submission)?;
    let state = match ticket.answer() {
        None => "submitted",
        Some(_) => "answered",
    };
    machine.submitted.push((label, ticket));
    Ok(vec![state.to_owned()])
}

fn submit(world: &mut World, args: &Args) -> Result<Lines, Trouble> {
    let machine = world.machine()?;
    let (region, peer) = (args.region("region")?, args.peer("peer")?);
    let store = args.opt_store("store").unwrap_or(StoreId(2));
    let what = args.opt_word("what").unwrap_or_default();
    let given = args.opt_epoch("epoch");
    let submission = match what {
        "collect" => Submission::CollectTombstone {
            region,
            highest_peer: peer,
        },
        "create-peer" => Submission::CreatePeer {
            region,
            peer,
            from_store: store,
            epoch: given.unwrap_or(crate::RegionEpoch::BOOTSTRAP),
        },
        "destroy" => Submission::Destroy {
            region,
            epoch: epoch_of(machine, region, given)?,
            incarnation: match args.opt_ordinal("incarnation") {
                Some(ordinal) => Some(creation_of(machine, region, Some(ordinal))?),
                None => None,
            },
            peer,
            cause: DestroyCause::Operator,
        },
        _ => Submission::ChangePeers {
            region,
            epoch: epoch_of(machine, region, given)?,
            position: args.position("at")?,
            change: match what {
                "remove-peer" => PeerChange::Remove { peer },
                _ => PeerChange::Add {
                    peer: Peer::learner(peer, store),
                },
            },
        },
    };
    leave(machine, format!("{what} {region} {peer}"), submission)
}

fn settle(world: &mut World, _: &Args) -> Result<Lines, Trouble> {
    let tickets: Vec<(String, TransitionTicket)> = std::mem::take(&mut world.machine()?.submitted);
    let mut lines = Lines::new();
    for (label, ticket) in tickets {
        let answer = match ticket.wait() {
            Ok(answer) => world.answered(answer)?,
            Err(error) => show::trouble(&Trouble::from(error)),
        };
        lines.push(format!("{label}: {}", answer.join("; ")));
    }
    Ok(show::none_if_empty(lines))
}
