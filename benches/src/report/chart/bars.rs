//! Time of one operation: a bar for each client, a panel for each bench and number of threads.

use super::Chart;
use super::card::{self, LEFT, WIDTH};
use super::scale::Linear;
use super::svg::Svg;
use crate::report::blocks::nanos_per_op;
use crate::report::figures::thousands;
use crate::report::setting::Setting;
use crate::report::standing::{self, Group, Measure, Role};
use crate::report::{Row, rounds, subject};

const TOP: f64 = 84.0;
const HEAD: f64 = 30.0;
const BAR: f64 = 14.0;
const BAR_STEP: f64 = 20.0;
const PANEL_GAP: f64 = 22.0;
const NAMES: f64 = 156.0;
const FIGURES: f64 = 72.0;

pub(super) fn chart(title: &str, benches: &[&'static str], rows: &[Row], setting: &Setting) -> Option<Chart> {
    let bands: Vec<_> = benches.iter().map(|bench| standing::groups(bench, rows)).collect();
    let panels = bands.iter().map(Vec::len).max().filter(|panels| *panels > 0)?;
    let height =
        TOP + bands.iter().map(|band| band_height(band)).sum::<f64>() + card::caption_height(setting) + 4.0;

    let subtitle = format!(
        "Nanoseconds of a thread for one operation; shorter is better. Medians of {} rounds.",
        rounds(rows)
    );
    let mut svg = card::begin(title, &subtitle, height, setting);
    let width = (WIDTH - 2.0 * LEFT + PANEL_GAP) / panels as f64 - PANEL_GAP;
    let mut y = TOP;
    for band in &bands {
        draw_band(&mut svg, band, y, width);
        y += band_height(band);
    }
    let about = format!("{title}: nanoseconds of a thread for one operation, by bench and number of threads");
    Some(Chart { svg: card::finish(svg, height, &about), about })
}

fn band_height(band: &[Group<'_>]) -> f64 {
    let bars = band.iter().map(|group| group.rows.len()).max().unwrap_or(0);
    HEAD + BAR_STEP * bars as f64 + PANEL_GAP
}

/// One bench: its panels share a scale, so that they can be compared with each other.
fn draw_band(svg: &mut Svg, band: &[Group<'_>], y: f64, width: f64) {
    let longest = band.iter().flat_map(|group| &group.rows).filter_map(|row| nanos(row)).fold(0.0, f64::max);
    for (at, group) in band.iter().enumerate() {
        let x = LEFT + at as f64 * (width + PANEL_GAP);
        let threads =
            if group.tasks == 1 { "1 thread".to_owned() } else { format!("{} threads", group.tasks) };
        svg.text("head", (x, y + 14.0), &format!("{}, {threads}", subject::about(group.bench)));
        let scale = Linear { figures: (0.0, longest), places: (0.0, width - NAMES - FIGURES) };
        draw_panel(svg, group, (x, y + HEAD), scale);
    }
}

fn draw_panel(svg: &mut Svg, group: &Group<'_>, (x, y): (f64, f64), scale: Linear) {
    for (at, (row, nanos)) in group.rows.iter().filter_map(|row| Some((*row, nanos(row)?))).enumerate() {
        let y = y + BAR_STEP * at as f64;
        let class = match Role::of(row.client) {
            Role::Ours => " ours",
            Role::Variant => " variant",
            Role::Peer | Role::Gauge => "",
        };
        svg.text(&format!("name{class} end"), (x + NAMES - 10.0, y + 11.5), row.client);
        let length = scale.place(nanos).max(1.0);
        svg.rounded(&format!("bar{class}"), (x + NAMES, y), (length, BAR), 2.0);
        svg.text("figure", (x + NAMES + length + 7.0, y + 11.5), &format!("{} ns", thousands(nanos, 1)));
    }
}

fn nanos(row: &Row) -> Option<f64> {
    Measure::Throughput.of(row).map(|rate| nanos_per_op(row.tasks, rate))
}
