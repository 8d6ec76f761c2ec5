//! The report on the terminal.

use std::env;
use std::io::{self, IsTerminal};

use super::Row;
use super::blocks::{GAUGES, blocks};
use super::grid::{Grid, Weight};
use super::standing;
use super::steadiness;
use super::summary::{LEGEND, summaries};

/// Everything that was measured, and where our client stands. With a little emphasis on a terminal that shows it,
/// unless `NO_COLOR` is set.
pub(crate) fn table(rows: &[Row]) -> String {
    let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    render(rows, io::stdout().is_terminal() && !no_color)
}

fn render(rows: &[Row], emphasised: bool) -> String {
    let mut text = String::new();
    for block in blocks(rows) {
        let colon = if block.about.is_empty() { "" } else { ": " };
        text += &format!("\n{}{colon}{}\n", weighted(Weight::Strong, block.bench, emphasised), block.about);
        text += &indented(&block.grid, emphasised);
    }
    let rounds = super::rounds(rows);
    text += &format!(
        "\nMedians of {rounds} rounds; ±: half of the interquartile range. Latencies as each task saw them.\n"
    );
    if standing::benches(rows).iter().any(|bench| !standing::gauges(bench, rows).is_empty()) {
        text += &format!("{GAUGES}\n");
    }
    if let Some(warning) = steadiness::warning(rows) {
        text += &format!("{}\n", weighted(Weight::Strong, &warning, emphasised));
    }
    let summaries = summaries(rows);
    if !summaries.is_empty() {
        text += &format!("{LEGEND}\n");
    }
    for summary in summaries {
        let title = format!("cenote and its peers: {}", summary.family);
        text += &format!("\n{}\n", weighted(Weight::Strong, &title, emphasised));
        text += &indented(&summary.grid, emphasised);
    }
    text
}

fn indented(grid: &Grid, emphasised: bool) -> String {
    let lines = grid.text().into_iter();
    lines
        .map(|(weight, line)| {
            format!("  {}", weighted(weight, &line, emphasised)).trim_end().to_owned() + "\n"
        })
        .collect()
}

fn weighted(weight: Weight, text: &str, emphasised: bool) -> String {
    match weight {
        Weight::Strong if emphasised => format!("\x1b[1m{text}\x1b[0m"),
        Weight::Faint if emphasised => format!("\x1b[2m{text}\x1b[0m"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn all() -> Vec<Row> {
        [samples::pool(), samples::dedicated(), samples::lru(), samples::cache()].concat()
    }

    #[test]
    fn no_line_is_wider_than_a_terminal_usually_is() {
        let text = render(&all(), false);
        let widest = text.lines().max_by_key(|line| line.chars().count()).unwrap();
        assert!(widest.chars().count() <= 110, "{}: {widest}", widest.chars().count());
    }

    #[test]
    fn each_bench_is_told_with_all_its_clients_before_the_summaries() {
        let text = render(&all(), false);
        let (blocks, summaries) = text.split_once("\nMedians of 15 rounds").unwrap();
        for bench in
            ["pool-get: GET of 100 B", "pool-mix", "pool-pipeline", "pool-neighbour", "dedicated", "lru-hot"]
        {
            assert!(blocks.contains(&format!("\n{bench}")), "{bench} is missing from {blocks}");
        }
        for family in ["pool", "dedicated", "lru", "cache"] {
            assert!(summaries.contains(&format!("\ncenote and its peers: {family}\n")), "{summaries}");
        }
    }

    #[test]
    fn escapes_are_for_terminals_that_want_them_and_move_nothing() {
        let (plain, emphasised) = (render(&all(), false), render(&all(), true));
        assert!(!plain.contains('\x1b') && emphasised.contains("\x1b[1m"));
        let bare =
            ["\x1b[0m", "\x1b[1m", "\x1b[2m"].iter().fold(emphasised, |text, code| text.replace(code, ""));
        assert_eq!(bare, plain);
    }

    #[test]
    fn a_gauge_is_explained_only_where_there_is_one() {
        assert!(render(&all(), false).contains("floor"));
        assert!(!render(&samples::dedicated(), false).contains("floor"));
    }
}
