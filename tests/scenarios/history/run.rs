//! A history, played as commands of a scenario and compared with the model after each step.
//!
//! What was played is kept as it was said, so a history that goes wrong is a scenario file: every command
//! with the answer it got, and the last with the answer that the model wants.

use torrens::StoreId;
use torrens::play::{Place, World, parse};

use super::model::{Data, Draw, Model, Puts, Step, range};

/// How a process dies in a history.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Death {
    /// Before the operation with this number, counted from the step's own command.
    pub(super) nth: u64,
    /// As `arm` and `crash` take it.
    pub(super) how: String,
    /// And again while the store is opened.
    pub(super) again: Vec<(u64, String)>,
}

/// One step of a history.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Act {
    pub(super) step: Step,
    pub(super) death: Option<Death>,
}

fn how(random: &mut impl Draw) -> String {
    let batches = match random.below(4) {
        0 => String::new(),
        1 => format!(" batches={}", random.below(8)),
        _ => " batches=1000".to_owned(),
    };
    match random.below(6) {
        0 => format!("power{batches}"),
        1 | 2 => format!("sectors seed={}{batches}", random.below(1 << 32)),
        _ => format!("kill{batches}"),
    }
}

/// Whether, where and how the process dies in a step.
pub(super) fn death(random: &mut impl Draw) -> Option<Death> {
    if random.below(4) > 0 {
        return None;
    }
    let again = (0..random.below(3).saturating_sub(1)).map(|_| (1 + random.below(30), how(random)));
    let again = again.collect();
    Some(Death {
        nth: 1 + random.below(8),
        how: how(random),
        again,
    })
}

/// A command, and its answer.
type Said = (String, Vec<String>);

/// What was played so far.
pub(super) struct Run {
    world: World,
    is_simulated: bool,
    pub(super) model: Model,
    views: Vec<(String, Data)>,
    views_so_far: usize,
    steps: u64,
    pub(super) crashes: u64,
    said: Vec<Said>,
}

/// Why a history goes wrong; `said` of the run has the wanted answer last.
pub(super) struct Wrong(pub(super) String);

impl Run {
    pub(super) fn new(place: Place, forgets_deletions: bool) -> Result<Run, Wrong> {
        let is_simulated = place == Place::Simulated;
        let mut run = Run {
            world: World::new(place, 1),
            is_simulated,
            model: Model::new(forgets_deletions),
            views: vec![],
            views_so_far: 0,
            steps: 0,
            crashes: 0,
            said: vec![],
        };
        run.want("open", "created")?;
        run.want("bootstrap r1 peers=p10@s1", "accepted")?;
        Ok(run)
    }

    /// The file that plays what was played.
    pub(super) fn scenario(&self, why: &str) -> String {
        let steps = self.said.iter();
        let steps =
            steps.map(|(command, answer)| format!("{command}\n----\n{}\n", answer.join("\n")));
        let steps: Vec<String> = steps.collect();
        let why = why.replace('\n', " ");
        format!(
            "# A random history that goes wrong: {why}\n\n{}",
            steps.join("\n")
        )
    }

    fn say(&mut self, command: &str) -> Vec<String> {
        let text = format!("{command}\n----\n");
        let scenario = parse(&text).unwrap_or_else(|error| panic!("{command}: {error}"));
        let steps = scenario.steps();
        let answer: Vec<String> = steps.flat_map(|step| self.world.run(step)).collect();
        self.said.push((command.to_owned(), answer.clone()));
        answer
    }

    /// The last answer is not this.
    fn wrong(&mut self, wanted: Vec<String>) -> Wrong {
        let Some((command, found)) = self.said.last_mut() else {
            return Wrong("nothing was said".to_owned());
        };
        let why = format!("{command}: {found:?} and not {wanted:?}");
        *found = wanted;
        Wrong(why)
    }

    /// A command whose answer begins with that line.
    fn want(&mut self, command: &str, wanted: &str) -> Result<(), Wrong> {
        let answer = self.say(command);
        match answer.first().is_some_and(|line| line == wanted) {
            true => Ok(()),
            false => Err(self.wrong(vec![wanted.to_owned()])),
        }
    }

    /// Plays one step; one that means nothing any more is left out.
    pub(super) fn play(&mut self, act: &Act) -> Result<(), Wrong> {
        if !self.model.allows(&act.step) {
            return Ok(());
        }
        self.steps += 1;
        let (command, wanted) = self.prepare(&act.step)?;
        let armed = act.death.as_ref().filter(|_| self.is_simulated);
        if let Some(death) = armed {
            let line = format!("arm operation {} nth={} when=before", death.how, death.nth);
            self.want(&line, "armed")?;
        }
        let before = self.model.clone();
        let answer = self.say(&command);
        self.model.apply(&act.step);
        let died = answer.iter().any(|line| line.starts_with("crashed "));
        if !died {
            let first = answer.first().map(String::as_str).unwrap_or_default();
            if !wanted.is_empty() && !wanted.contains(&first) {
                return Err(
                    self.wrong(vec![wanted.first().copied().unwrap_or_default().to_owned()])
                );
            }
            self.after(&act.step, &answer);
        }
        match &act.death {
            Some(death) if died => self.come_back(death)?,
            // On a real disk a process that is killed between two commands is all that there is.
            Some(death) if !self.is_simulated => {
                if self
                    .say("crash kill")
                    .first()
                    .is_some_and(|line| line.starts_with("error needs-sim"))
                {
                    self.say("resume");
                    self.want("crash kill", "crashed")?;
                }
                self.come_back(death)?;
            }
            Some(_) | None => return self.check(),
        }
        // What was under way has happened, or not.
        if died && !matches!(act.step, Step::Write(..)) && self.peers_are(&before) {
            self.model = before;
        }
        self.send_again()?;
        self.want("check", "ok")?;
        self.check()
    }

    /// The command of a step, and the first lines that may answer it; any, if there are none.
    fn prepare(&mut self, step: &Step) -> Result<(String, Vec<&'static str>), Wrong> {
        let version = |run: &Run, id: u64| run.model.at(id).map_or(0, |s| s.version);
        let index = |run: &Run, id: u64| run.model.at(id).map_or(0, |s| s.index + 1);
        Ok(match step {
            Step::Write(id, puts) => {
                let (version, index) = (version(self, *id), index(self, *id));
                (write(*id, index, version, puts), vec!["applied"])
            }
            Step::Split(id, boundary, child, peer) => {
                let (version, index) = (version(self, *id), index(self, *id));
                let boundary = char::from(*boundary);
                let command = format!(
                    "split r{id} at={index} boundary={boundary} child=r{child}:p{peer}@s1 epoch=c1.v{version}"
                );
                (command, vec!["accepted"])
            }
            Step::Create(id, peer) => (
                format!("create-peer r{id} p{peer} from=s5"),
                vec!["accepted"],
            ),
            Step::Destroy(id) => {
                let peer = self.model.peers.get(id).map_or(0, |(peer, _)| *peer);
                (format!("destroy r{id} p{peer}"), vec!["accepted"])
            }
            Step::Snapshot(id, (start, end), rows) => {
                let peer = self.model.peers.get(id).map_or(0, |(peer, _)| *peer);
                let (version, index) = self.model.snapshot_at(*id, *end);
                // Ranges that are being cleared have to be clear.
                self.want("wait-idle", "ok")?;
                let range = range(*start, *end);
                let mut make = format!(
                    "make-snapshot r{id} as=s peers=p{peer}@s1 range={range} epoch=c1.v{version} at={index}"
                );
                for (key, value) in rows {
                    make.push_str(&format!(" row={key}:{value}"));
                }
                self.say(&make);
                self.say("remove-snapshot s");
                self.want("receive s", "received")?;
                (format!("apply-snapshot r{id} s"), vec!["accepted"])
            }
            Step::Load(id) => {
                let version = version(self, *id);
                let command = format!("load r{id} epoch=c1.v{version}");
                (command, vec!["accepted", "already applied"])
            }
            Step::Evict(id) => (format!("evict r{id}"), vec!["accepted", "already applied"]),
            Step::View(id) => {
                self.views_so_far += 1;
                (format!("view v{} r{id}", self.views_so_far), vec![])
            }
            Step::Truncate(id) => (format!("truncate-floor r{id}"), vec![]),
            Step::HoldLoad(rows) => (format!("step rows={rows}"), vec![]),
            Step::Resume => ("resume".to_owned(), vec![]),
            Step::Flush => ("flush".to_owned(), vec!["ok"]),
            Step::Checkpoint => ("checkpoint".to_owned(), vec!["ok"]),
            Step::Tick => ("tick".to_owned(), vec!["ok"]),
            Step::Background => ("step".to_owned(), vec![]),
        })
    }

    /// What the host makes of an answer.
    fn after(&mut self, step: &Step, answer: &[String]) {
        let first = answer.first().map(String::as_str).unwrap_or_default();
        match step {
            Step::View(id) => {
                if let Some(s) = self.model.at(*id) {
                    let data = s.data.clone();
                    self.views.push((format!("v{}", self.views_so_far), data));
                }
            }
            Step::Truncate(id) => {
                let floor = first.strip_prefix('i').and_then(|floor| floor.parse().ok());
                if let (Some(floor), Some(s)) = (floor, self.model.at_mut(*id)) {
                    s.log.retain(|(index, _)| *index > floor);
                    s.truncated = s.truncated.max(floor);
                }
            }
            _ => {}
        }
    }

    /// Opens until it survives; the machine may die while it opens.
    fn come_back(&mut self, death: &Death) -> Result<(), Wrong> {
        self.crashes += 1;
        self.views.clear();
        let simulated = if self.is_simulated {
            &*death.again
        } else {
            &[]
        };
        for (nth, how) in simulated {
            self.want(
                &format!("arm operation {how} nth={nth} when=before"),
                "armed",
            )?;
            let answer = self.say("open");
            if !answer.iter().any(|line| line.starts_with("crashed ")) {
                self.say("crash kill");
            }
        }
        let answer = self.say("open");
        let opened = answer
            .first()
            .is_some_and(|line| line.starts_with("opened, "));
        if !opened || answer.iter().any(|line| line.starts_with("damaged ")) {
            return Err(self.wrong(vec!["opened, clean".to_owned()]));
        }
        self.want("wait-idle", "ok")
    }

    /// Whether the peers that are there are the model's.
    fn peers_are(&mut self, model: &Model) -> bool {
        let found = self.say("peers");
        let lines = model.peer_lines();
        let none = lines.is_empty() && found == ["none"];
        let same = |(parts, line): (&Vec<String>, &String)| {
            let mut parts = parts.iter();
            let starts = parts.next().is_some_and(|start| line.starts_with(start));
            starts && parts.all(|part| line.contains(part))
        };
        none || (lines.len() == found.len() && lines.iter().zip(&found).all(same))
    }

    /// The host after a restart: sends again what the store says that it lacks.
    fn send_again(&mut self) -> Result<(), Wrong> {
        for id in self.model.serving() {
            let Some(s) = self.model.at(id).cloned() else {
                continue;
            };
            let answer = self.say(&format!("raft-start r{id}"));
            let line = answer.first().map(String::as_str).unwrap_or_default();
            let data = line.split_once(" data i").map_or("", |(_, rest)| rest);
            let have: Option<u64> = data.split('.').next().and_then(|index| index.parse().ok());
            let Some(have) = have.filter(|have| *have >= s.truncated) else {
                return Err(self.wrong(vec![format!("data i{} or more", s.truncated)]));
            };
            for (index, puts) in s.log.iter().filter(|(index, _)| *index > have) {
                self.want(&write(id, *index, s.version, puts), "applied")?;
            }
        }
        Ok(())
    }

    /// What everybody sees is what the model says; a view shows its moment or says that it ended.
    fn check(&mut self) -> Result<(), Wrong> {
        let model = self.model.clone();
        if !self.peers_are(&model) {
            let wanted = model.to_string();
            return Err(self.wrong(wanted.lines().map(str::to_owned).collect()));
        }
        let fenced = self.say("tombstones");
        let wanted = model.tombstones.iter();
        let wanted: Vec<String> = wanted
            .map(|(id, peer)| format!("r{id} up to p{peer} "))
            .collect();
        let none = wanted.is_empty() && fenced == ["none"];
        let same = |(wanted, line): (&String, &String)| line.starts_with(wanted);
        let all = wanted.len() == fenced.len() && wanted.iter().zip(&fenced).all(same);
        if !(none || all) {
            return Err(self.wrong(wanted));
        }
        for id in model.serving() {
            let Some(s) = model.at(id) else { continue };
            let answer = self.say(&format!("scan r{id} epoch=c1.v{}", s.version));
            self.rows(answer, &s.data)?;
        }
        for (name, data) in std::mem::take(&mut self.views) {
            let answer = self.say(&format!("view-scan {name}"));
            if answer
                .iter()
                .any(|line| line.starts_with("error view-ended: "))
            {
                // It holds its memory until it is dropped.
                self.say(&format!("drop-view {name}"));
                continue;
            }
            self.rows(answer, &data)?;
            self.views.push((name, data));
        }
        // Reading everything once more is worth it now and then.
        if self.steps.is_multiple_of(8) {
            self.want("check", "ok")?;
        }
        Ok(())
    }

    fn rows(&mut self, answer: Vec<String>, data: &Data) -> Result<(), Wrong> {
        let from = answer.first().cloned().unwrap_or_default();
        let rows = data.iter().map(|(key, value)| format!("{key}:{value}"));
        let wanted: Vec<String> = std::iter::once(from).chain(rows).collect();
        match answer == wanted {
            true => Ok(()),
            false => Err(self.wrong(wanted)),
        }
    }

    /// The end: everything that was begun ends.
    pub(super) fn end(&mut self) -> Result<(), Wrong> {
        let settled = self.world.settle(StoreId(1));
        settled.map_err(|why| {
            self.said.push(("check".to_owned(), vec![why.clone()]));
            self.wrong(vec!["ok".to_owned()])
        })?;
        // Without caches and without views there is nothing that could be charged.
        for (name, _) in std::mem::take(&mut self.views) {
            self.say(&format!("drop-view {name}"));
        }
        for id in self.model.serving() {
            self.say(&format!("evict r{id}"));
        }
        self.want("wait-idle", "ok")?;
        self.want("tick", "ok")?;
        self.want("wait-idle", "ok")?;
        self.want("cache-bytes", "none")
    }
}

fn write(id: u64, index: u64, version: u64, puts: &Puts) -> String {
    let mut command = format!("write r{id} at={index} epoch=c1.v{version}");
    for (key, value) in puts {
        command.push_str(&match value {
            Some(value) => format!(" put={key}:{value}"),
            None => format!(" delete={key}"),
        });
    }
    command
}
