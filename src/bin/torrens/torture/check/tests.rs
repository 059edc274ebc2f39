//! Every way in which a store can be wrong about itself must be found: each is planted once.

use super::*;
use crate::torture::data::DataSet;
use crate::torture::model::tests::{opened_of, small};
use crate::torture::protocol::Position;

fn planted(plant: impl FnOnce(&mut Opened)) -> Vec<Wrong> {
    let model = small(&DataSet::load(None).unwrap());
    let mut opened = opened_of(&model);
    assert_eq!(
        compare(&model, &opened),
        vec![],
        "right before anything was planted"
    );
    plant(&mut opened);
    compare(&model, &opened)
}

fn normal(opened: &mut Opened) -> &mut OpenedRegion {
    opened
        .regions
        .iter_mut()
        .find(|region| region.stage == "normal")
        .unwrap()
}

#[test]
fn each_planted_difference_is_found_once_and_named() {
    type Plant = fn(&mut Opened);
    let plants: [(&str, Plant); 15] = [
        ("identity", |o| o.store = "other".to_owned()),
        ("data store that had to be replaced", |o| {
            o.data_lost = Some("gone".to_owned())
        }),
        ("trust in its data", |o| {
            o.damaged.push((1, "row missing".to_owned()))
        }),
        ("peer", |o| drop(o.regions.pop())),
        ("peer", |o| {
            let copy = OpenedRegion {
                id: 500,
                ..normal(o).clone()
            };
            o.regions.push(copy);
        }),
        ("peer", |o| normal(o).peer += 1),
        ("incarnation", |o| normal(o).incarnation += 1),
        ("stage", |o| normal(o).stage = "damaged".to_owned()),
        ("description", |o| {
            normal(o).description.as_mut().unwrap().epoch.version += 1
        }),
        ("description", |o| {
            normal(o).description.as_mut().unwrap().peers.clear()
        }),
        ("metadata position", |o| {
            normal(o).meta = Some(Position { index: 99, term: 6 })
        }),
        ("data index", |o| normal(o).data_index = 4),
        ("data index", |o| normal(o).data_index += 100),
        ("tombstone", |o| o.tombstones.clear()),
        ("tombstone", |o| o.tombstones.push((600, 3))),
    ];
    for (what, plant) in plants {
        let wrongs = planted(plant);
        let found: Vec<&str> = wrongs.iter().map(|wrong| wrong.what.as_str()).collect();
        assert_eq!(found, [what]);
        assert!(wrongs.iter().all(|wrong| wrong.lost));
    }
}

#[test]
fn data_that_was_not_yet_durable_may_be_missing_but_not_below_the_floor() {
    let found = planted(|opened| {
        // The write after the second split of region 1 was never flushed.
        let region = opened
            .regions
            .iter_mut()
            .find(|region| region.id == 1)
            .unwrap();
        region.data_index = region.data_index.min(region.meta.unwrap().index);
    });
    assert_eq!(found, vec![]);
}
