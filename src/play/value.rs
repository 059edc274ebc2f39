//! Arguments as values: one kind for each form that an argument can have, and how its text reads.
//!
//! The forms are those of answers: `r7` a region, `p12` a peer, `s4` a store, `#2` the second
//! creation of the peer that the command is about, `c1.v2` an epoch, `i7.t6` a Raft position (or just
//! `7`, in term 6), `[a,m)` a range, `p12@s4` or `p12@s4:learner` a listed peer.

use crate::{
    Generation, Key, KeyRange, NewRegion, ObserverId, Peer, PeerId, PeerRole, RaftPosition,
    RegionEpoch, RegionId, StoreId,
};

/// The term of a position that names none.
const TERM_DEFAULT: u64 = 6;

/// What form an argument has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// `r7`.
    Region,
    /// `p12`.
    Peer,
    /// `s4`.
    Store,
    /// `#2`; `#0` is a creation that never was.
    Incarnation,
    /// `c1.v2`.
    Epoch,
    /// `i7.t6`, or `7`.
    Position,
    /// A decimal number.
    Number,
    /// Bytes of a key; in quotes if it holds spaces or anything unprintable.
    Key,
    /// `[a,m)`; an open end is infinity.
    Range,
    /// `p12@s4,p13@s5:learner`.
    Peers,
    /// `r2:p20@s4,p21@s5`: a new region of a split.
    Child,
    /// `key:value`: a row.
    Row,
    /// A name that the scenario gives to something: lower-case letters, digits, hyphens.
    Name,
    /// `o3`: an observer.
    Observer,
    /// `g12`: a generation of an attachment.
    Generation,
    /// `r7:131`: an index of a region.
    Mark,
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// An argument's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Region(RegionId),
    Peer(PeerId),
    Store(StoreId),
    /// An ordinal.
    Incarnation(u64),
    Epoch(RegionEpoch),
    Position(RaftPosition),
    Number(u64),
    Key(Key),
    Range(KeyRange),
    Peers(Vec<Peer>),
    Child(NewRegion),
    Row(Key, Vec<u8>),
    Observer(ObserverId),
    Generation(Generation),
    Mark(RegionId, u64),
    Text(String),
    Word(&'static str),
}

impl Kind {
    /// What a text of this kind looks like, for messages and documentation.
    pub fn form(self) -> String {
        match self {
            Kind::Region => "a region (r7)".to_owned(),
            Kind::Peer => "a peer (p12)".to_owned(),
            Kind::Store => "a store (s4)".to_owned(),
            Kind::Incarnation => "a creation (#2)".to_owned(),
            Kind::Epoch => "an epoch (c1.v2)".to_owned(),
            Kind::Position => "a position (i7.t6, or 7)".to_owned(),
            Kind::Number => "a number".to_owned(),
            Kind::Key => "a key".to_owned(),
            Kind::Range => "a range ([a,m))".to_owned(),
            Kind::Peers => "listed peers (p12@s4,p13@s5:learner)".to_owned(),
            Kind::Child => "a new region (r2:p20@s4,p21@s5)".to_owned(),
            Kind::Row => "a row (key:value)".to_owned(),
            Kind::Name => "a name".to_owned(),
            Kind::Observer => "an observer (o3)".to_owned(),
            Kind::Generation => "a generation (g12)".to_owned(),
            Kind::Mark => "an index of a region (r7:131)".to_owned(),
            Kind::Text => "a text".to_owned(),
            Kind::Word(words) => format!("one of {}", words.join(" ")),
        }
    }

    /// Reads a value; none if the text is not of this kind.
    pub(super) fn read(self, bytes: &[u8]) -> Option<Value> {
        let text = || std::str::from_utf8(bytes).ok();
        match self {
            Kind::Region => number_after(text()?, "r").map(|id| Value::Region(RegionId(id))),
            Kind::Peer => number_after(text()?, "p").map(|id| Value::Peer(PeerId(id))),
            Kind::Store => number_after(text()?, "s").map(|id| Value::Store(StoreId(id))),
            Kind::Incarnation => number_after(text()?, "#").map(Value::Incarnation),
            Kind::Epoch => epoch(text()?).map(Value::Epoch),
            Kind::Position => position(text()?).map(Value::Position),
            Kind::Number => number(text()?).map(Value::Number),
            Kind::Key => Some(Value::Key(Key::from(bytes))),
            Kind::Range => range(bytes).map(Value::Range),
            Kind::Peers => peers(text()?).map(Value::Peers),
            Kind::Child => child(text()?).map(Value::Child),
            Kind::Row => {
                let colon = bytes.iter().position(|byte| *byte == b':')?;
                let (key, value) = bytes.split_at_checked(colon)?;
                Some(Value::Row(Key::from(key), value.get(1..)?.to_vec()))
            }
            Kind::Name => {
                let text = text()?;
                let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
                let starts = text.starts_with(|first: char| first.is_ascii_lowercase());
                let ok = starts && text.bytes().all(is_plain) && number_after(text, "r").is_none();
                ok.then(|| Value::Text(text.to_owned()))
            }
            Kind::Observer => number_after(text()?, "o").map(|id| Value::Observer(ObserverId(id))),
            Kind::Generation => {
                number_after(text()?, "g").map(|number| Value::Generation(Generation(number)))
            }
            Kind::Mark => {
                let (region, index) = text()?.split_once(':')?;
                let region = RegionId(number_after(region, "r")?);
                Some(Value::Mark(region, number(index)?))
            }
            Kind::Text => text().map(|text| Value::Text(text.to_owned())),
            Kind::Word(words) => {
                let text = text()?;
                words
                    .iter()
                    .find(|word| **word == text)
                    .map(|word| Value::Word(word))
            }
        }
    }
}

/// Decimal digits only: no sign, no empty text.
fn number(text: &str) -> Option<u64> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits.then(|| text.parse().ok())?
}

fn number_after(text: &str, prefix: &str) -> Option<u64> {
    number(text.strip_prefix(prefix)?)
}

fn epoch(text: &str) -> Option<RegionEpoch> {
    let (conf_ver, version) = text.split_once('.')?;
    Some(RegionEpoch {
        conf_ver: number_after(conf_ver, "c")?,
        version: number_after(version, "v")?,
    })
}

fn position(text: &str) -> Option<RaftPosition> {
    if let Some(index) = number(text) {
        let term = TERM_DEFAULT;
        return Some(RaftPosition { index, term });
    }
    let (index, term) = text.split_once('.')?;
    Some(RaftPosition {
        index: number_after(index, "i")?,
        term: number_after(term, "t")?,
    })
}

/// The first comma separates, so a start cannot hold one.
fn range(bytes: &[u8]) -> Option<KeyRange> {
    let inner = bytes.strip_prefix(b"[")?.strip_suffix(b")")?;
    let comma = inner.iter().position(|byte| *byte == b',')?;
    let (start, end) = inner.split_at_checked(comma)?;
    let end = end.get(1..).filter(|end| !end.is_empty());
    KeyRange::new(start, end)
}

/// An empty text is an empty list: a description that a host must not send can be written down.
fn peers(text: &str) -> Option<Vec<Peer>> {
    let listed = text.split(',').filter(|peer| !peer.is_empty());
    listed.map(peer).collect()
}

fn peer(text: &str) -> Option<Peer> {
    let (text, (role, is_witness)) = match text.split_once(':') {
        None => (text, (PeerRole::Voter, false)),
        Some((text, role)) => (text, role_of(role)?),
    };
    let (id, store) = text.split_once('@')?;
    Some(Peer {
        id: PeerId(number_after(id, "p")?),
        store: StoreId(number_after(store, "s")?),
        role,
        is_witness,
    })
}

/// `learner`, or `witness` for a voter without data, or `learner-witness`.
fn role_of(text: &str) -> Option<(PeerRole, bool)> {
    let (text, is_witness) = match text.strip_suffix("witness") {
        None => (text, false),
        Some("") => ("voter", true),
        Some(role) => (role.strip_suffix('-')?, true),
    };
    let roles = [
        PeerRole::Voter,
        PeerRole::Learner,
        PeerRole::IncomingVoter,
        PeerRole::DemotingVoter,
    ];
    let role = roles.into_iter().find(|role| role.as_str() == text)?;
    Some((role, is_witness))
}

fn child(text: &str) -> Option<NewRegion> {
    let (id, listed) = text.split_once(':')?;
    Some(NewRegion {
        id: RegionId(number_after(id, "r")?),
        peers: peers(listed)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_its_form_and_nothing_else() {
        let read = |kind: Kind, text: &str| kind.read(text.as_bytes());
        assert_eq!(read(Kind::Region, "r7"), Some(Value::Region(RegionId(7))));
        for bad in ["7", "r", "r-7", "r+7", "r7 ", "p7", "r99999999999999999999"] {
            assert_eq!(read(Kind::Region, bad), None, "{bad}");
        }
        let at = |index, term| Some(Value::Position(RaftPosition { index, term }));
        assert_eq!(read(Kind::Position, "7"), at(7, 6));
        assert_eq!(read(Kind::Position, "i7.t8"), at(7, 8));
        let version = RegionEpoch {
            conf_ver: 1,
            version: 2,
        };
        assert_eq!(read(Kind::Epoch, "c1.v2"), Some(Value::Epoch(version)));
        assert_eq!(read(Kind::Epoch, "v2.c1"), None);
        let range = |start: &str, end: Option<&str>| {
            KeyRange::new(start.as_bytes(), end.map(str::as_bytes)).map(Value::Range)
        };
        assert_eq!(read(Kind::Range, "[a,m)"), range("a", Some("m")));
        assert_eq!(read(Kind::Range, "[,)"), range("", None));
        for bad in ["[m,a)", "[a,a)", "a,m", "[a)", "", "["] {
            assert_eq!(read(Kind::Range, bad), None, "{bad}");
        }
        let listed = Kind::Peers.read(b"p1@s2,p3@s4:learner");
        let Some(Value::Peers(listed)) = listed else {
            panic!("{listed:?}")
        };
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[1].role, PeerRole::Learner);
        assert_eq!(read(Kind::Peers, ""), Some(Value::Peers(vec![])));
        assert_eq!(read(Kind::Peers, "p1@s2:king"), None);
        assert_eq!(
            read(Kind::Row, "a:b:c"),
            Some(Value::Row(Key::from(b"a".as_slice()), b"b:c".to_vec()))
        );
        assert_eq!(read(Kind::Name, "r7"), None, "a region is no name");
        assert_eq!(read(Kind::Word(&["kill"]), "power"), None);
    }
}
