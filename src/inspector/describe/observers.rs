//! In words and fields: who observes what.

use super::super::fields::{Field, FieldValue, field};
use super::super::keys::KeyForm;
use crate::lifecycle::ObserverChange;
use crate::{ObserverId, ObserverPolicy, RegionId};

/// Entries that a line names before it only counts.
const NAMED: usize = 3;

/// What such a change says: its line, and its fields.
pub(super) fn said(change: &ObserverChange, keys: &KeyForm) -> (String, Vec<Field>) {
    match change {
        ObserverChange::Added {
            observer,
            name,
            ranges,
            policy,
            starts,
        } => {
            let texts: Vec<String> = ranges.iter().map(|range| keys.range(range)).collect();
            let places = some(starts, |start| {
                format!("{} after i{}", start.region, start.acked)
            });
            let detail = format!("{observer} {name} {}; {places}", texts.join(" "));
            let mut fields = of(*observer);
            fields.push(field("name", name.as_str().to_owned()));
            fields.push(list("ranges", ranges.iter(), FieldValue::from));
            fields.push(field("policy", policy_fields(*policy)));
            fields.push(list("starts", starts.iter(), |start| {
                object(start.region, [field("acked", start.acked)])
            }));
            (detail, fields)
        }
        ObserverChange::Removed { observer }
        | ObserverChange::Paused { observer }
        | ObserverChange::Resumed { observer } => (observer.to_string(), of(*observer)),
        ObserverChange::PolicySet { observer, policy } => {
            let mut fields = of(*observer);
            fields.push(field("policy", policy_fields(*policy)));
            (format!("{observer} {}", policy_text(*policy)), fields)
        }
        ObserverChange::Attached { first, attachments } => {
            let detail = some(attachments, |one| {
                let (observer, region, term, from) = (one.observer, one.region, one.term, one.from);
                let live = if one.live { ", live" } else { "" };
                format!("{observer} {region} in t{term} from i{from}{live}")
            });
            let fields = vec![
                field("first_generation", first.0),
                list("attachments", attachments.iter(), |one| {
                    let mut fields = of(one.observer);
                    fields.extend([
                        field("region", one.region.0),
                        field("version", one.version),
                        field("term", one.term),
                        field("from", one.from),
                        field("live", one.live),
                    ]);
                    fields.into()
                }),
            ];
            (format!("{first}: {detail}"), fields)
        }
        ObserverChange::CaughtUp { attachments } => {
            let detail = some(attachments, |one| {
                let (observer, region, generation) = (one.observer, one.region, one.generation);
                format!("{observer} {region} {generation} to i{}", one.index)
            });
            let all = list("attachments", attachments.iter(), |one| {
                let mut fields = of(one.observer);
                fields.extend([
                    field("region", one.region.0),
                    field("generation", one.generation.0),
                    field("index", one.index),
                ]);
                fields.into()
            });
            (detail, vec![all])
        }
        ObserverChange::Detached { attachments } => {
            let detail = some(attachments, |one| {
                let (observer, region, generation) = (one.observer, one.region, one.generation);
                format!("{observer} {region} {generation}: {}", one.reason.as_str())
            });
            let all = list("attachments", attachments.iter(), |one| {
                let mut fields = of(one.observer);
                fields.extend([
                    field("region", one.region.0),
                    field("generation", one.generation.0),
                    field("reason", one.reason.as_str()),
                ]);
                fields.into()
            });
            (detail, vec![all])
        }
        ObserverChange::Acknowledged {
            observer,
            positions,
        } => {
            let places = some(positions, |one| format!("{} to i{}", one.region, one.index));
            let mut fields = of(*observer);
            fields.push(list("positions", positions.iter(), |one| {
                let (generation, index) = (one.generation.0, one.index);
                let fields = [field("generation", generation), field("index", index)];
                object(one.region, fields)
            }));
            (format!("{observer} {places}"), fields)
        }
        ObserverChange::Invalidated { observer, losses } => {
            let places = some(losses, |one| {
                let (loss, region) = (one.loss, one.region);
                let (first, next) = (loss.first_lost, loss.first_available);
                let why = loss.reason.as_str();
                format!("{region} lost from i{first}, goes on at i{next}: {why}")
            });
            let mut fields = of(*observer);
            fields.push(list("losses", losses.iter(), |one| {
                let fields = [
                    field("reason", one.loss.reason.as_str()),
                    field("first_lost", one.loss.first_lost),
                    field("first_available", one.loss.first_available),
                ];
                object(one.region, fields)
            }));
            (format!("{observer} {places}"), fields)
        }
        ObserverChange::Rebased { observer, starts } => {
            let places = some(starts, |one| match one.acked {
                Some(acked) => format!("{} after i{acked}", one.region),
                None => format!("{} given up", one.region),
            });
            let mut fields = of(*observer);
            fields.push(list("starts", starts.iter(), |one| {
                let reset = one.reset.as_str();
                let fields = [field("acked", one.acked), field("reset", reset)];
                object(one.region, fields)
            }));
            (format!("{observer} {places}"), fields)
        }
        ObserverChange::Ended { attachments } => {
            let detail = some(attachments, |one| {
                format!("{} {} at i{}", one.observer, one.region, one.end)
            });
            let all = list("attachments", attachments.iter(), |one| {
                let mut fields = of(one.observer);
                fields.push(field("region", one.region.0));
                fields.push(field("end", one.end));
                fields.into()
            });
            (detail, vec![all])
        }
        ObserverChange::Restarted => ("what was attached is wanted again".to_owned(), Vec::new()),
    }
}

/// The first entries in words, and how many there are beyond.
fn some<T>(all: &[T], text: impl Fn(&T) -> String) -> String {
    let named: Vec<String> = all.iter().take(NAMED).map(text).collect();
    match (all.len(), named.len()) {
        (0, _) => "no region".to_owned(),
        (count, shown) if count > shown => {
            format!(
                "{} and {} more",
                named.join(", "),
                count.saturating_sub(shown)
            )
        }
        _ => named.join(", "),
    }
}

fn of(observer: ObserverId) -> Vec<Field> {
    vec![field("observer", observer.0)]
}

fn list<'a, T: 'a>(
    name: &'static str,
    all: impl Iterator<Item = &'a T>,
    value: impl Fn(&'a T) -> FieldValue,
) -> Field {
    field(name, all.map(value).collect::<Vec<_>>())
}

fn object(region: RegionId, rest: impl IntoIterator<Item = Field>) -> FieldValue {
    let first = std::iter::once(field("region", region.0));
    first.chain(rest).collect::<Vec<Field>>().into()
}

fn policy_fields(policy: ObserverPolicy) -> Vec<Field> {
    vec![
        field("retain_bytes_max", policy.retain_bytes_max),
        field("retain_age_millis_max", policy.retain_age_millis_max),
        field("early", policy.early),
    ]
}

fn policy_text(policy: ObserverPolicy) -> String {
    let bytes = policy
        .retain_bytes_max
        .map(|bytes| format!("at most {bytes} bytes"));
    let age = policy
        .retain_age_millis_max
        .map(|millis| format!("at most {millis} ms"));
    let early = policy.early.then(|| "early".to_owned());
    let parts: Vec<String> = bytes.into_iter().chain(age).chain(early).collect();
    match parts.is_empty() {
        true => "no limits".to_owned(),
        false => parts.join(", "),
    }
}
