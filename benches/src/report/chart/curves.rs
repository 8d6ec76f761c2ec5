//! Throughput by number of tasks: a curve for each client, with its name and last figure at its end.

use super::Chart;
use super::card::{self, LEFT, WIDTH};
use super::labels::{Wish, apart};
use super::scale::{Linear, ticks};
use super::svg::Svg;
use crate::report::figures::{ratio, thousands};
use crate::report::setting::Setting;
use crate::report::standing::{self, Measure, OURS};
use crate::report::{Row, rounds};

const HEIGHT: f64 = 500.0;
const TOP: f64 = 96.0;
/// Where the numbers of the scale end, and the curves begin.
const SCALE: f64 = LEFT + 38.0;
/// Where the curves end, and their labels begin.
const CURVES: f64 = WIDTH - 226.0;
const LABELS: f64 = CURVES + 26.0;
/// Room for a name, and for a note below it.
const LABEL: f64 = 19.0;
const NOTE: f64 = 16.0;

/// A client's rows by their number of tasks.
struct Curve<'a> {
    client: &'a str,
    class: &'static str,
    rows: Vec<&'a Row>,
}

/// The places on the card.
struct Plot {
    x: Linear,
    y: Linear,
}

pub(super) fn chart(title: &str, rows: &[Row], setting: &Setting) -> Option<Chart> {
    let curves = curves(rows);
    let tasks = tasks(rows);
    let (first, last) = (*tasks.first()?, *tasks.last()?);
    let ticks = ticks(rows.iter().map(|row| row.ops_per_s).fold(0.0, f64::max) / 1e3);
    let bottom = HEIGHT - card::caption_height(setting) - 62.0;
    let plot = Plot {
        x: Linear { figures: (log(first), log(last)), places: (SCALE + 22.0, CURVES) },
        y: Linear { figures: (0.0, *ticks.last()?), places: (bottom, TOP) },
    };

    let subtitle = format!(
        "Thousand operations per second by number of tasks; higher is better. Medians of {} rounds, with the \
         interquartile range.",
        rounds(rows)
    );
    let mut svg = card::begin(title, &subtitle, HEIGHT, setting);
    plot.frame(&mut svg, &tasks, &ticks);
    // Ours is drawn last, and so lies on top.
    for curve in curves.iter().rev() {
        plot.draw(&mut svg, curve);
    }
    let ratio = over_best(rows);
    plot.labels(&mut svg, &curves, ratio.as_deref());
    let told = ratio.map(|ratio| format!("; with {last} tasks the throughput of cenote is {ratio}"));
    let about = format!("{title}: throughput by number of tasks{}", told.unwrap_or_default());
    Some(Chart { svg: card::finish(svg, HEIGHT, &about), about })
}

impl Plot {
    fn frame(&self, svg: &mut Svg, tasks: &[usize], ticks: &[f64]) {
        let bottom = self.y.place(0.0);
        for (at, tick) in ticks.iter().enumerate() {
            let y = self.y.place(*tick);
            svg.segment(if at == 0 { "axis" } else { "grid" }, (SCALE + 8.0, y), (CURVES + 8.0, y));
            let decimals = usize::from(tick.fract() != 0.0);
            svg.text("tick end", (SCALE, y + 4.0), &thousands(*tick, decimals));
        }
        for tasks in tasks {
            let x = self.x.place(log(*tasks));
            svg.segment("axis", (x, bottom), (x, bottom + 5.0));
            svg.text("tick middle", (x, bottom + 20.0), &tasks.to_string());
        }
        let middle = (SCALE + CURVES) / 2.0;
        svg.text("note middle", (middle, bottom + 40.0), "tasks at once (logarithmic)");
    }

    fn draw(&self, svg: &mut Svg, curve: &Curve<'_>) {
        let class = curve.class;
        let place = |row: &Row, rate: f64| (self.x.place(log(row.tasks)), self.y.place(rate / 1e3));
        let points: Vec<_> = curve.rows.iter().map(|row| place(row, row.ops_per_s)).collect();
        svg.path(&format!("curve {class}"), &points);
        for (row, point) in curve.rows.iter().zip(points) {
            let half = if row.spread.is_finite() { row.ops_per_s * row.spread / 2.0 } else { 0.0 };
            // Of wild rounds only what is on the scale is shown.
            let top = self.y.figures.1 * 1e3;
            let from = place(row, (row.ops_per_s - half).max(0.0));
            let to = place(row, (row.ops_per_s + half).min(top));
            svg.segment(&format!("whisker {class}"), from, to);
            svg.dot(&format!("dot {class}"), point, if curve.client == OURS { 4.5 } else { 2.6 });
        }
    }

    /// The name of each client at the end of its curve; ours with its ratio to the best of the others.
    fn labels(&self, svg: &mut Svg, curves: &[Curve<'_>], ratio: Option<&str>) {
        let ends: Vec<_> = curves.iter().filter_map(|curve| Some((curve, *curve.rows.last()?))).collect();
        let note = |curve: &Curve<'_>| ratio.filter(|_| curve.client == OURS);
        let wishes: Vec<_> = ends
            .iter()
            .map(|(curve, row)| {
                let height = if note(curve).is_some() { LABEL + NOTE } else { LABEL };
                Wish { place: self.y.place(row.ops_per_s / 1e3), height }
            })
            .collect();
        let places = apart(&wishes, self.y.place(0.0) + LABEL);
        for (((curve, row), wish), y) in ends.iter().zip(&wishes).zip(places) {
            let x = self.x.place(log(row.tasks));
            let (from, to) = ((x + 11.0, wish.place), (LABELS - 10.0, y));
            svg.path("leader", &[(x + 7.0, from.1), from, to, (LABELS - 5.0, y)]);
            let figure = format!("{} k/s", thousands(row.ops_per_s / 1e3, 0));
            svg.label(&format!("name {}", curve.class), (LABELS, y + 4.5), curve.client, &figure);
            if let Some(note) = note(curve) {
                svg.text("note", (LABELS, y + 4.5 + NOTE), note);
            }
        }
    }
}

/// Ours first, then the others as they were run.
fn curves(rows: &[Row]) -> Vec<Curve<'_>> {
    let mut clients: Vec<&str> = Vec::new();
    for row in rows {
        if !clients.contains(&row.client) {
            clients.push(row.client);
        }
    }
    clients.sort_by_key(|client| *client != OURS);
    let curve = |client| {
        let mut rows: Vec<_> = rows.iter().filter(|row| row.client == client).collect();
        rows.sort_by_key(|row| row.tasks);
        Curve { client, class: card::class_of(client), rows }
    };
    clients.into_iter().map(curve).collect()
}

fn tasks(rows: &[Row]) -> Vec<usize> {
    let mut tasks: Vec<_> = rows.iter().map(|row| row.tasks).collect();
    tasks.sort_unstable();
    tasks.dedup();
    tasks
}

fn log(tasks: usize) -> f64 {
    (tasks as f64).log2()
}

/// Our last figure over that of the best peer: "1.61x rustis".
fn over_best(rows: &[Row]) -> Option<String> {
    let group = standing::groups(rows.first()?.bench, rows).into_iter().next_back()?;
    let (ours, best) = (group.client(OURS)?, group.best_peer(Measure::Throughput)?);
    Some(format!("{} {}", ratio(standing::ratio(ours, best, Measure::Throughput)?), best.client))
}
