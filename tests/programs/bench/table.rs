//! Rows of the table: a value beside its floor, measured in the same run.

use std::fs::File;
use std::io::Write;

use serde::Serialize;

/// What a row must keep.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// The ratio to the floor is at least this.
    RatioAtLeast(f64),
    /// The ratio to the floor is at most this.
    RatioAtMost(f64),
    /// The value is at most so much above the floor.
    AboveAtMost(f64),
    /// The value is at most this, whatever the floor is.
    AtMost(f64),
    /// It is there to be known.
    Told,
}

/// One measurement.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    #[serde(skip)]
    pub(crate) unit: &'static str,
    /// The median over the rounds.
    pub(crate) value: f64,
    pub(crate) floor: f64,
    /// The median of the ratios of each round; in JSON `null` where the floor is zero.
    pub(crate) ratio: f64,
    /// What must be kept, in words.
    pub(crate) goal: String,
    /// Whether it is; nothing if there is nothing to keep.
    pub(crate) met: Option<bool>,
    /// The quartiles of the ratios.
    #[serde(skip)]
    pub(crate) spread: (f64, f64),
    #[serde(skip)]
    pub(crate) rounds: usize,
    /// The median of the differences to the floor, where they are what is judged.
    #[serde(skip)]
    pub(crate) above: Option<f64>,
}

fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the length")]
    let place = (last as f64 * part).round() as usize;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

/// The middle one.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// Of a value to its floor, of each pair.
pub(crate) fn ratios(pairs: &[(f64, f64)]) -> Vec<f64> {
    pairs.iter().map(|(value, floor)| value / floor).collect()
}

impl Row {
    /// Of pairs of a value and its floor, measured one after the other.
    pub(crate) fn of(name: impl Into<String>, unit: &'static str, pairs: &[(f64, f64)], goal: Goal) -> Self {
        let values: Vec<f64> = pairs.iter().map(|(value, _)| *value).collect();
        let floors: Vec<f64> = pairs.iter().map(|(_, floor)| *floor).collect();
        let ratios = ratios(pairs);
        let (value, floor, ratio) = (median(&values), median(&floors), median(&ratios));
        let (goal, met, above) = match goal {
            Goal::RatioAtLeast(least) => (format!("at least {least} of the floor"), Some(ratio >= least), None),
            Goal::RatioAtMost(most) => (format!("at most {most} of the floor"), Some(ratio <= most), None),
            Goal::AboveAtMost(most) => {
                let above = median(&pairs.iter().map(|(value, floor)| value - floor).collect::<Vec<_>>());
                (format!("at most {} above the floor", with(most, unit)), Some(above <= most), Some(above))
            }
            Goal::AtMost(most) => (format!("at most {}", with(most, unit)), Some(value <= most), None),
            Goal::Told => (String::new(), None, None),
        };
        let spread = (quantile(&ratios, 0.25), quantile(&ratios, 0.75));
        Self { name: name.into(), unit, value, floor, ratio, goal, met, spread, rounds: pairs.len(), above }
    }
}

/// The table as it is printed, row by row.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl Table {
    pub(crate) fn begin() -> Self {
        println!("| path | value | floor | ratio (quartiles) | goal | met |");
        println!("| --- | ---: | ---: | ---: | --- | --- |");
        Self::default()
    }

    pub(crate) fn add(&mut self, row: Row) {
        let met = match row.met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        };
        let Row { name, unit, value, floor, ratio, goal, spread: (low, high), .. } = &row;
        let (value, floor) = (shown(*value), shown(*floor));
        let ratio = match *ratio {
            ratio if !ratio.is_finite() => String::new(),
            ratio if row.rounds == 1 => format!("{ratio:.3} (one round)"),
            ratio => format!("{ratio:.3} ({low:.3} to {high:.3})"),
        };
        let above = row.above.map(|above| format!("{} above", with(rounded(above), unit)));
        let ratio =
            [Some(ratio), above].into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
        println!("| {name} | {value} {unit} | {floor} {unit} | {ratio} | {goal} | {met} |");
        let _ = std::io::stdout().flush();
        self.rows.push(row);
    }

    /// Writes `[{"name","value","floor","ratio","goal","met"}]`.
    pub(crate) fn write_json(&self, mut file: File) -> Result<(), String> {
        let text = serde_json::to_string_pretty(&self.rows).map_err(|error| error.to_string())?;
        writeln!(file, "{text}").map_err(|error| format!("the JSON file: {error}"))
    }

    /// Tells how many goals are met, and whether all are.
    pub(crate) fn end(&self) -> bool {
        let goals: Vec<bool> = self.rows.iter().filter_map(|row| row.met).collect();
        let met = goals.iter().filter(|met| **met).count();
        println!("\n{met} of {} goals are met", goals.len());
        met == goals.len()
    }
}

/// A number and its unit, if it has one.
fn with(number: f64, unit: &str) -> String {
    format!("{number} {unit}").trim_end().to_owned()
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Three figures, or all of a large number.
fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
