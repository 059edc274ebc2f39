//! Interleaved runs: each round runs everything once, in an order of its own.
//!
//! What shares a row shares a round and stands side by side in it, seconds apart; a machine that
//! gets slower in the course of an hour slows all of them. Medians are taken over rounds, ratios
//! within one.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::child;
use crate::job::{Job, Sample};
use crate::place::Place;
use crate::rng::Rng;
use crate::stats;

/// The directory that a run starts from.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    /// Empty.
    Fresh,
    /// A copy of this one, of which nothing is cached.
    ColdCopy(PathBuf),
    /// A copy of this one.
    Copy(PathBuf),
}

/// Who runs: one setting of a peer, and the figure that it competes for.
#[derive(Clone, Debug)]
pub(crate) struct Entrant {
    pub(crate) column: String,
    pub(crate) start: Start,
    /// Its `dir` is filled in for each run.
    pub(crate) job: Job,
}

/// Everything that is compared with each other.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) bench: &'static str,
    pub(crate) threads: usize,
    pub(crate) entrants: Vec<Entrant>,
}

/// What the rounds of one cell gave.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) bench: &'static str,
    pub(crate) threads: usize,
    series: Vec<Series>,
}

/// The runs of one entrant, by round. `None` where one failed.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) column: String,
    pub(crate) setting: String,
    pub(crate) runs: Vec<Option<Sample>>,
}

/// Runs all cells `rounds` times. A peer whose run fails is reported and left out of that round;
/// a failure of Torrens ends it all.
pub(crate) fn run(cells: &[Cell], rounds: u64, seed: u64, place: &Place) -> Result<Vec<Outcome>> {
    let mut outcomes: Vec<Outcome> = cells.iter().map(Outcome::of).collect();
    let mut rng = Rng::new(seed);
    for round in 1..=rounds {
        let mut order: Vec<usize> = (0..cells.len()).collect();
        rng.shuffle(&mut order);
        for index in order {
            let (Some(cell), Some(outcome)) = (cells.get(index), outcomes.get_mut(index)) else {
                continue;
            };
            eprintln!(
                "round {round} of {rounds}: {}, {} threads",
                cell.bench, cell.threads
            );
            let mut order: Vec<usize> = (0..cell.entrants.len()).collect();
            rng.shuffle(&mut order);
            for index in order {
                if let Some(entrant) = cell.entrants.get(index) {
                    let run = one(entrant, place)?;
                    if let Some(series) = outcome.series.get_mut(index) {
                        series.runs.push(run);
                    }
                }
            }
        }
    }
    Ok(outcomes)
}

fn one(entrant: &Entrant, place: &Place) -> Result<Option<Sample>> {
    let dir = match &entrant.start {
        Start::Fresh => place.fresh()?,
        Start::ColdCopy(filled) => place.cold_copy(filled)?,
        Start::Copy(filled) => place.copy(filled)?,
    };
    let job = Job {
        dir: dir.path().to_owned(),
        ..entrant.job.clone()
    };
    let outcome = child::run(&job);
    dir.close()
        .context("cannot remove the directory of a run")?;
    match outcome {
        Ok(sample) => Ok(Some(sample)),
        Err(error) if job.peer == "torrens" => bail!(error),
        Err(error) => {
            eprintln!("note: {error:#}");
            Ok(None)
        }
    }
}

impl Outcome {
    fn of(cell: &Cell) -> Outcome {
        let series = |entrant: &Entrant| Series {
            column: entrant.column.clone(),
            setting: entrant.job.setting.clone(),
            runs: Vec::new(),
        };
        Outcome {
            bench: cell.bench,
            threads: cell.threads,
            series: cell.entrants.iter().map(series).collect(),
        }
    }

    /// The columns in the order of the entrants, each once.
    pub(crate) fn columns(&self) -> Vec<&str> {
        let mut columns: Vec<&str> = Vec::new();
        for series in &self.series {
            if !columns.contains(&series.column.as_str()) {
                columns.push(&series.column);
            }
        }
        columns
    }

    /// The setting with the highest median of a column, and how many settings it has.
    pub(crate) fn best<'a>(&'a self, column: &'a str) -> Option<(&'a Series, usize)> {
        let best = self
            .all(column)
            .filter(|series| series.rate().is_some())
            .max_by(|a, b| f64::total_cmp(&a.rate().unwrap_or(0.0), &b.rate().unwrap_or(0.0)))?;
        Some((best, self.all(column).count()))
    }

    /// All settings of a column.
    pub(crate) fn all<'a>(&'a self, column: &'a str) -> impl Iterator<Item = &'a Series> {
        self.series
            .iter()
            .filter(move |series| series.column == column)
    }
}

impl Series {
    /// Of all runs, one number each.
    pub(crate) fn values(&self, of: impl Fn(&Sample) -> Option<f64>) -> Vec<Option<f64>> {
        self.runs
            .iter()
            .map(|run| run.as_ref().and_then(&of))
            .collect()
    }

    pub(crate) fn rates(&self) -> Vec<Option<f64>> {
        self.values(|sample| Some(sample.rate))
    }

    /// The median of the rates.
    pub(crate) fn rate(&self) -> Option<f64> {
        stats::median(self.rates().into_iter().flatten())
    }

    /// The median of a further figure.
    pub(crate) fn figure(&self, name: &str) -> Option<f64> {
        let values = self.values(|sample| sample.figures.get(name).copied());
        stats::median(values.into_iter().flatten())
    }

    /// What the last run said about itself.
    pub(crate) fn about(&self, key: &str) -> Option<&str> {
        let last = self.runs.iter().flatten().next_back()?;
        last.about.get(key).map(String::as_str)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An outcome with these columns, settings and rates, for tests of what is made of it.
    pub(crate) fn outcome(
        bench: &'static str,
        threads: usize,
        series: &[(&str, &str, &[f64])],
    ) -> Outcome {
        let run = |rate: &f64| {
            let sample = Sample {
                rate: *rate,
                ..Sample::default()
            };
            Some(sample).filter(|sample| sample.rate > 0.0)
        };
        let series = series.iter().map(|(column, setting, rates)| Series {
            column: (*column).to_owned(),
            setting: (*setting).to_owned(),
            runs: rates.iter().map(run).collect(),
        });
        Outcome {
            bench,
            threads,
            series: series.collect(),
        }
    }

    #[test]
    fn the_best_setting_of_a_column_is_the_one_with_the_highest_median() {
        let outcome = outcome(
            "b",
            1,
            &[
                ("x", "slow", &[1.0, 1.0, 9.0]),
                ("x", "fast", &[2.0, 3.0, 2.0]),
                ("x", "broken", &[0.0, 0.0, 0.0]),
                ("y", "only", &[5.0, 0.0, 7.0]),
                ("z", "broken", &[0.0]),
            ],
        );
        assert_eq!(outcome.columns(), ["x", "y", "z"]);
        let (best, settings) = outcome.best("x").unwrap();
        assert_eq!((best.setting.as_str(), settings), ("fast", 3));
        assert_eq!(outcome.best("y").unwrap().0.rate(), Some(6.0));
        assert!(outcome.best("z").is_none());
    }
}
