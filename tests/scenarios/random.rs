//! Random scenarios: commands of the language in any order, on a machine that dies now and then, with
//! everything checked that always holds. One that fails is shrunk by leaving steps out, and written as a
//! scenario file that anybody can play.

use std::path::PathBuf;

use torrens::StoreId;
use torrens::play::{Place, World, parse};

/// SplitMix64: the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn pick(&mut self, words: &[&str]) -> String {
        let place = usize::try_from(self.below(words.len() as u64)).unwrap_or_default();
        words.get(place).copied().unwrap_or_default().to_owned()
    }
}

/// One command, by chance sensible.
fn command(random: &mut Random, index: u64) -> String {
    let region = random.pick(&["r1", "r1", "r2", "r3"]);
    let key = random.pick(&["b", "f", "k", "q", "w"]);
    let own = match region.as_str() {
        "r1" => random.pick(&["p10", "p12"]),
        "r2" => random.pick(&["p20", "p22"]),
        _ => random.pick(&["p30", "p32"]),
    };
    match random.below(44) {
        0..5 => format!("write {region} at={index} put={key}:{index}"),
        5 | 6 => {
            let child = random.pick(&["r2:p20@s1,p21@s2", "r3:p30@s1,p31@s2", "r2:p22@s1,p23@s2"]);
            format!("split {region} at={index} boundary={key} child={child}")
        }
        7 => format!("create-peer {region} {own}"),
        8 => format!("destroy {region} {own}"),
        9 => format!("remove-peer {region} {own} at={index}"),
        10 | 11 => {
            let range = random.pick(&["[,)", "[,f)", "[f,q)", "[q,)"]);
            let version = 2 + random.below(6);
            format!(
                "make-snapshot {region} as=s peers={own}@s1,p99@s2 range={range} epoch=c3.v{version} at={index} row={}:{index}",
                match range.as_str() {
                    "[,)" | "[,f)" => "b",
                    "[f,q)" => "k",
                    _ => "w",
                }
            )
        }
        12 | 13 => "receive s".to_owned(),
        14..17 => format!("apply-snapshot {region} s"),
        17 => format!(
            "prepare-merge {region} into={} at={index} min-index=5",
            random.pick(&["r1", "r2", "r3"])
        ),
        18 => format!(
            "rollback-merge {region} at={index} commit={}",
            index.saturating_sub(1)
        ),
        19 => format!("load {region}"),
        20 => format!("evict {region}"),
        21 => format!("view v {region}"),
        22 => "drop-view v".to_owned(),
        23 | 24 | 30 => "step".to_owned(),
        31..34 => format!("step rows={}", random.below(4)),
        34 | 35 => random.pick(&["resume", "resume", "resume how=fail"]),
        36 => random.pick(&[
            "load-range [,)",
            "evict-range [c,r)",
            "evict-range [,) reason=ingest",
        ]),
        37 => random.pick(&["label l [f,q)", "remove-label l"]),
        38 => format!("preload {region} as=t"),
        39 => random.pick(&["check-caches", "balance-caches", "ticket t", "cache-report"]),
        40 => format!(
            "leadership {region} {} term={index}",
            random.pick(&["leader", "follower", "candidate"])
        ),
        41 => random.pick(&[
            "set-cache pin-timeout=0",
            "set-cache enabled=no",
            "set-cache enabled=yes",
            "set-cache stop-load-at=0",
            "set-cache capacity=1073741824",
        ]),
        42 => format!("write {region} at={index} delete-range=[{key},{key}z)"),
        43 => random.pick(&["begin-flashback r1 at=", "end-flashback r1 at="]) + &index.to_string(),
        25 => "tick".to_owned(),
        26 => random.pick(&["checkpoint", "flush", "collect-versions"]),
        27 => format!(
            "crash {}",
            random.pick(&["power", "kill", "sectors seed=3"])
        ),
        28 => format!(
            "arm {} {}",
            random.pick(&[
                "journal.appended",
                "journal.synced",
                "data.applied",
                "data.flushed"
            ]),
            random.pick(&["power", "kill"])
        ),
        _ => "open".to_owned(),
    }
}

/// A whole history.
fn history(seed: u64, steps: u64) -> Vec<String> {
    let mut random = Random(seed);
    let beginning = ["open", "bootstrap r1 peers=p10@s1,p11@s2"].map(str::to_owned);
    let commands = (0..steps).map(|step| command(&mut random, 6 + step));
    beginning.into_iter().chain(commands).collect()
}

/// What goes wrong in it, if anything does.
fn wrong(commands: &[String], breaks: Option<&str>) -> Option<String> {
    let mut world = World::new(Place::Simulated, 1);
    for command in commands {
        let scenario = parse(&format!("{command}\n----\n")).expect("the language's own words");
        let answers: Vec<String> = scenario.steps().flat_map(|step| world.run(step)).collect();
        if breaks.is_some_and(|breaks| answers.iter().any(|line| line.contains(breaks))) {
            return Some(format!("{command}: {answers:?}"));
        }
        let checked = world.check(StoreId(1));
        if let Err(why) = checked {
            return Some(format!("{command}: {why}"));
        }
    }
    world.settle(StoreId(1)).err()
}

/// Leaves out whatever can be left out while it still goes wrong.
fn shrunk(mut commands: Vec<String>, breaks: Option<&str>) -> Vec<String> {
    let mut size = commands.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < commands.len() {
            let mut fewer = commands.clone();
            fewer.drain(at..(at + size).min(commands.len()));
            match wrong(&fewer, breaks) {
                Some(_) => commands = fewer,
                None => at += size,
            }
        }
        size /= 2;
    }
    commands
}

fn as_scenario(commands: &[String], why: &str) -> String {
    let steps: String = commands
        .iter()
        .map(|command| format!("{command}\n----\n\n"))
        .collect();
    format!(
        "# A random history that goes wrong: {}\n\n{steps}check\n----\nok\n",
        why.replace('\n', " ")
    )
}

#[test]
fn random_scenarios_hold() {
    let seed = super::seed();
    let histories: u64 = std::env::var("TORRENS_HISTORIES").map_or(120, |wish| {
        wish.parse().expect("TORRENS_HISTORIES is a number")
    });
    println!("seed {seed}, {histories} histories");
    for number in 0..histories {
        let seed = seed.wrapping_mul(1_000_003).wrapping_add(number);
        let commands = history(seed, 40);
        if wrong(&commands, None).is_none() {
            continue;
        }
        let commands = shrunk(commands, None);
        let why = wrong(&commands, None).unwrap_or_default();
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{seed}.scenario"));
        std::fs::write(&path, as_scenario(&commands, &why)).expect("a place for the scenario");
        panic!(
            "seed {seed}: {why}\n{} plays it:\n{}",
            path.display(),
            commands.join("\n")
        );
    }
}

/// The shrinking itself: an answer is declared wrong, and what is left of a long history is what leads to
/// it.
#[test]
fn a_history_that_goes_wrong_shrinks_to_a_file_that_plays() {
    let breaks = Some("created r2#");
    let (commands, why) = (1..200)
        .map(|seed| history(seed, 40))
        .find_map(|commands| wrong(&commands, breaks).map(|why| (commands, why)))
        .expect("some history makes region 2");
    let fewer = shrunk(commands, breaks);
    assert!(fewer.len() <= 3, "{fewer:?}");
    assert!(wrong(&fewer, breaks).is_some(), "still wrong");
    assert!(parse(&as_scenario(&fewer, &why)).is_ok());
}
