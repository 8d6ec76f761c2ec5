//! Charts as SVG, drawn for people who have read nothing else yet.

mod bars;
mod card;
mod curves;
mod labels;
mod scale;
mod svg;

use super::Row;
use super::setting::Setting;
use super::standing::{self, Measure, Role};
use super::subject;

/// A chart with what it shows in words.
#[derive(Debug)]
pub(super) struct Chart {
    pub(super) svg: String,
    pub(super) about: String,
}

/// The chart of a family of benches, if these rows are enough for one. It follows from rows and setting alone.
pub(super) fn of(family: &str, rows: &[Row], setting: &Setting) -> Option<Chart> {
    match family {
        "pool" => {
            curves::chart("Many tasks on one shared client: GET of 100 B", &named(rows, "pool-get"), setting)
        }
        "dedicated" => {
            let title = "Many tasks on 20 exclusive connections: acquire, GET of 100 B, give back";
            curves::chart(title, &named(rows, "dedicated"), setting)
        }
        "lru" => {
            let timed = |bench: &&'static str| subject::headline(bench) == Measure::Throughput;
            let benches: Vec<_> = standing::benches(rows).into_iter().filter(timed).collect();
            bars::chart("In-memory LRU: 10,000 entries of 100 B", &benches, rows, setting)
        }
        "cache" => {
            bars::chart("A value that this process has: 100 B, 10,000 keys", &["cache-l1"], rows, setting)
        }
        "ratelimit" => curves::chart(
            "One token of one of 1,000 keys, by the server",
            &named(rows, "ratelimit-check"),
            setting,
        ),
        _ => None,
    }
}

fn named(rows: &[Row], bench: &str) -> Vec<Row> {
    let is_client = |row: &&Row| row.bench == bench && Role::of(row.client) != Role::Gauge;
    let measured = rows.iter().filter(is_client).filter(|row| Measure::Throughput.of(row).is_some());
    measured.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn setting() -> Setting {
        Setting {
            machine: "2 cores (Some <Processor> & Co), 7.8 GiB, Linux".to_owned(),
            versions: vec!["cenote 0.1.0".to_owned(), "Redis 7.0.15".to_owned(), "rustc 1.95.0".to_owned()],
            date: "2026-01-31".to_owned(),
        }
    }

    fn drawn(family: &str, rows: &[Row]) -> String {
        of(family, rows, &setting()).unwrap().svg
    }

    /// All words of a chart, and how many elements of this class it has.
    fn read(svg: &str, class: &str) -> (Vec<String>, usize) {
        let document = roxmltree::Document::parse(svg).unwrap();
        let texts = document.descendants().filter(|node| node.has_tag_name("text"));
        let words = texts
            .map(|node| {
                node.descendants().filter(roxmltree::Node::is_text).filter_map(|part| part.text()).collect()
            })
            .collect();
        let has = |node: &roxmltree::Node<'_, '_>| {
            node.attribute("class").is_some_and(|names| names.split(' ').any(|name| name == class))
        };
        (words, document.descendants().filter(has).count())
    }

    #[test]
    fn every_client_has_a_curve_and_is_named_with_its_last_figure() {
        let (words, curves) = read(&drawn("pool", &samples::pool()), "curve");
        assert_eq!(curves, 7);
        for (client, figure) in
            [("cenote", "1,269 k/s"), ("rustis", "787 k/s"), ("redis-rs manager", "390 k/s")]
        {
            assert!(
                words.iter().any(|word| word.contains(client) && word.contains(figure)),
                "{client}: {words:?}"
            );
        }
        assert!(!words.iter().any(|word| word.contains("redis-benchmark")), "{words:?}");
        for tasks in samples::TASKS {
            assert!(words.contains(&tasks.to_string()), "{tasks}: {words:?}");
        }
    }

    #[test]
    fn every_client_of_the_lru_has_a_bar_in_each_bench() {
        let (words, bars) = read(&drawn("lru", &samples::lru()), "bar");
        assert_eq!(bars, 2 * 2 * 6);
        for client in ["cenote", "quick_cache", "lru + mutex", "moka", "mini-moka"] {
            assert_eq!(words.iter().filter(|word| *word == client).count(), 4, "{client}: {words:?}");
        }
        assert!(words.iter().any(|word| word == "28.9 ns"), "{words:?}");
    }

    #[test]
    fn a_chart_tells_its_setting() {
        for (family, rows) in [
            ("pool", samples::pool()),
            ("dedicated", samples::dedicated()),
            ("lru", samples::lru()),
            ("cache", samples::cache()),
        ] {
            let words = read(&drawn(family, &rows), "").0.join("\n");
            for part in ["Some <Processor> & Co", "cenote 0.1.0", "Redis 7.0.15", "2026-01-31", "15 rounds"] {
                assert!(words.contains(part), "{family}: {part} is missing from {words}");
            }
        }
    }

    #[test]
    fn the_same_rows_give_the_same_chart_and_only_finite_numbers() {
        for (family, rows) in [
            ("pool", samples::pool()),
            ("dedicated", samples::dedicated()),
            ("lru", samples::lru()),
            ("cache", samples::cache()),
        ] {
            let svg = drawn(family, &rows);
            assert_eq!(svg, drawn(family, &rows));
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn wild_rounds_do_not_leave_the_plot() {
        let mut rows = samples::pool();
        rows.iter_mut().for_each(|row| row.spread = 9.0);
        let svg = drawn("pool", &rows);
        let document = roxmltree::Document::parse(&svg).unwrap();
        let heights = |class: &str| -> Vec<f64> {
            let is_it = |node: &roxmltree::Node<'_, '_>| {
                node.attribute("class").is_some_and(|c| c.starts_with(class))
            };
            let paths = document.descendants().filter(is_it).filter_map(|node| node.attribute("d"));
            let points =
                paths.flat_map(|path| path[1..].split('L').map(|point| point.split_once(' ').unwrap().1));
            points.map(|height| height.parse().unwrap()).collect()
        };
        let grid = heights("grid").into_iter().chain(heights("axis"));
        let (top, bottom) =
            grid.fold((f64::MAX, 0.0), |(top, bottom): (f64, f64), y| (top.min(y), bottom.max(y)));
        assert!(heights("whisker").iter().all(|y| (top..=bottom).contains(y)));
        assert_eq!(heights("whisker").len(), 2 * 35);
    }

    #[test]
    fn little_is_drawn_and_nothing_is_not() {
        let one = [samples::row("pool-get", "cenote", 64, 1000.0)];
        assert_eq!(read(&drawn("pool", &one), "curve").1, 1);
        let stuck =
            [samples::row("pool-get", "cenote", 64, f64::NAN), samples::row("pool-mix", "cenote", 64, 9.0)];
        assert!(of("pool", &stuck, &setting()).is_none());
        assert!(of("lru", &[], &setting()).is_none());
    }
}
