//! The lineage as a picture: a lane for each region along the positions of the journal, joined where one
//! was split off or taken in. Looks right in light and dark, and needs nothing beside itself.

use std::collections::BTreeMap;
use std::io::{self, Write};

use torrens::RegionId;
use torrens::inspector::KeyForm;
use torrens::inspector::lineage::{Descent, Lineage};

use super::tree::branches;
use super::{edge_text, fate};
use crate::render::printable;

const WIDTH: u64 = 960;
/// Room on the left for names, and on the right for fates.
const LEFT: u64 = 230;
const RIGHT: u64 = 130;
const LANE: u64 = 26;
const TOP: u64 = 40;

const STYLE: &str = "text{font:12px ui-sans-serif,system-ui,sans-serif;fill:#1c2530}\
.dim{fill:#667380}.lane{stroke:#2f6fb0;stroke-width:3}.gone{stroke:#9aa5b1;stroke-width:3}\
.bad{stroke:#c23b3b;stroke-width:3}.split{stroke:#667380;stroke-width:1.5;stroke-dasharray:3 3}\
.merge{stroke:#8a4fbf;stroke-width:2}.bg{fill:#fff}\
@media(prefers-color-scheme:dark){text{fill:#dbe3ea}.dim{fill:#8a97a5}.lane{stroke:#6aa9e9}.gone{stroke:#5a6672}\
.bad{stroke:#ff7b72}.split{stroke:#8a97a5}.merge{stroke:#c297ee}.bg{fill:#14191f}}";

fn escaped(text: &str) -> String {
    printable(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

pub(super) fn write(out: &mut impl Write, lineage: &Lineage, keys: &KeyForm) -> io::Result<()> {
    let order: Vec<RegionId> = branches(lineage)
        .iter()
        .map(|branch| branch.region)
        .collect();
    let lanes: BTreeMap<RegionId, u64> = order.iter().copied().zip(0..).collect();
    let lsns = lineage
        .regions
        .values()
        .flat_map(|region| [region.first.lsn.get(), region.last.lsn.get()]);
    let (first, last) = lsns.fold((u64::MAX, 0), |(first, last), lsn| {
        (first.min(lsn), last.max(lsn))
    });
    let (first, last) = (first.min(last), last);
    let x = |lsn: u64| {
        let whole = u128::from((last - first).max(1));
        let at =
            u128::from(lsn.clamp(first, last) - first) * u128::from(WIDTH - LEFT - RIGHT) / whole;
        LEFT + u64::try_from(at).unwrap_or(0)
    };
    let y = |region: &RegionId| TOP + lanes.get(region).copied().unwrap_or(0) * LANE;
    let height = TOP + order.len() as u64 * LANE + 16;
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"Lineage of {} regions\">",
        order.len()
    )?;
    writeln!(
        out,
        "<style>{STYLE}</style><rect class=\"bg\" width=\"{WIDTH}\" height=\"{height}\"/>"
    )?;
    writeln!(
        out,
        "<text class=\"dim\" x=\"{LEFT}\" y=\"18\">LSN {first}</text>\
         <text class=\"dim\" x=\"{}\" y=\"18\" text-anchor=\"end\">LSN {last}</text>",
        WIDTH - RIGHT
    )?;
    for edge in &lineage.edges {
        let (at, from, to) = (x(edge.at.lsn.get()), y(&edge.from), y(&edge.to));
        let class = match edge.descent {
            Descent::Split { .. } => "split",
            _ => "merge",
        };
        let text = escaped(&format!(
            "LSN {}: {} → {}, {}",
            edge.at.lsn,
            edge.from,
            edge.to,
            edge_text(edge, keys)
        ));
        writeln!(
            out,
            "<line class=\"{class}\" x1=\"{at}\" y1=\"{from}\" x2=\"{at}\" y2=\"{to}\"><title>{text}</title></line>"
        )?;
    }
    for region in lineage.regions.values() {
        let lane = y(&region.region);
        // Who lives, lives to the end.
        let until = match region.standing {
            Some(_) => last,
            None => region.last.lsn.get(),
        };
        let (from, to) = (x(region.first.lsn.get()), x(until));
        let class = match region.standing {
            Some("damaged") => "bad",
            Some(_) => "lane",
            None => "gone",
        };
        let range = region
            .range
            .as_ref()
            .map_or(String::new(), |range| keys.range(range));
        let name = escaped(&format!("{} {range}", region.region));
        let short: String = name.chars().take(34).collect();
        // An entity that was cut would not be well-formed.
        let short = if short.len() < name.len() && short.contains('&') {
            region.region.to_string()
        } else {
            short
        };
        let fate = escaped(&fate(lineage, region));
        writeln!(
            out,
            "<text x=\"8\" y=\"{}\">{short}<title>{name}</title></text>\
             <line class=\"{class}\" x1=\"{from}\" y1=\"{lane}\" x2=\"{}\" y2=\"{lane}\"/>\
             <text class=\"dim\" x=\"{}\" y=\"{}\">{fate}</text>",
            lane + 4,
            to.max(from + 3),
            WIDTH - RIGHT + 8,
            lane + 4
        )?;
    }
    writeln!(out, "</svg>")
}
