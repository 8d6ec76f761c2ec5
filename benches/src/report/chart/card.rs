//! What all charts have alike: a white card, which is readable on any page, with a title and a caption.

use super::svg::Svg;
use crate::report::setting::Setting;

pub(super) const WIDTH: f64 = 900.0;
/// Where text begins, and ends.
pub(super) const LEFT: f64 = 28.0;
const CAPTION_LINE: f64 = 17.0;
/// Letters of the caption in one line of the card.
const CAPTION_LETTERS: usize = 138;

const STYLE: &str = "
    text { font: 13px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #10262a }
    .title { font-size: 19px; font-weight: 600 }
    .subtitle { font-size: 13.5px; fill: #4c6468 }
    .caption, .tick, .note { font-size: 11.5px; fill: #5d7377 }
    .head { font-weight: 600 }
    .end { text-anchor: end }
    .middle { text-anchor: middle }
    .figure { fill: #10262a }
    .card { fill: #ffffff; stroke: #d3dee0 }
    .grid { stroke: #e4ecec; fill: none }
    .axis { stroke: #9fb2b5; fill: none }
    .leader { stroke: #b9c8ca; fill: none }
    .curve { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round }
    .curve.ours { stroke-width: 4 }
    .whisker { fill: none; stroke-width: 1 }
    .bar { fill: #b7c6c9 }
    .bar.ours { fill: #0b6e77 }
    .bar.variant { fill: #7fb4b8 }
    .name { font-weight: 500 }
    .name.ours { font-weight: 700 }
";

/// A client keeps its colour from chart to chart. They can be told apart with the common kinds of colour blindness
/// too; one that has none yet is grey.
const COLOURS: &[(&str, &str, &str)] = &[
    ("cenote", "ours", "#0b6e77"),
    ("rustis", "c0", "#c2410c"),
    ("fred", "c1", "#7c4fb0"),
    ("redis-rs mux", "c2", "#2f6fbf"),
    ("redis-rs manager", "c3", "#6b8e23"),
    ("bb8", "c4", "#a8518a"),
    ("deadpool", "c5", "#8a6d3b"),
    ("", "c6", "#7d868a"),
];

/// The class of all that belongs to a client.
pub(super) fn class_of(client: &str) -> &'static str {
    let known = COLOURS.iter().find(|(name, ..)| *name == client || name.is_empty());
    known.map_or("", |(_, class, _)| class)
}

/// How far above the lower edge the caption begins.
pub(super) fn caption_height(setting: &Setting) -> f64 {
    CAPTION_LINE * caption(setting).len() as f64 + 16.0
}

/// An empty card with its words.
pub(super) fn begin(title: &str, subtitle: &str, height: f64, setting: &Setting) -> Svg {
    let mut svg = Svg::default();
    svg.rounded("card", (0.5, 0.5), (WIDTH - 1.0, height - 1.0), 10.0);
    svg.text("title", (LEFT, 38.0), title);
    svg.text("subtitle", (LEFT, 60.0), subtitle);
    let first = height - caption_height(setting) + 12.0;
    for (at, line) in caption(setting).iter().enumerate() {
        svg.text("caption", (LEFT, first + CAPTION_LINE * at as f64), line);
    }
    svg
}

pub(super) fn finish(svg: Svg, height: f64, about: &str) -> String {
    let mut style = STYLE.to_owned();
    for (_, class, colour) in COLOURS {
        style += &format!("    .curve.{class}, .whisker.{class} {{ stroke: {colour} }}\n");
        style += &format!("    .dot.{class}, .name.{class} {{ fill: {colour} }}\n");
    }
    svg.finish(WIDTH, height, about, &format!("{style}  "))
}

/// Where and with what, broken into lines between its parts.
fn caption(setting: &Setting) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in [vec![setting.date.clone(), setting.machine.clone()], setting.versions.clone()] {
        let mut line = String::new();
        for part in paragraph {
            if !line.is_empty() && line.chars().count() + part.chars().count() > CAPTION_LETTERS {
                lines.push(std::mem::take(&mut line));
            }
            line = if line.is_empty() { part } else { format!("{line} · {part}") };
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_caption_is_broken_between_its_parts() {
        let versions = vec!["a-client-with-a-name 1.0.0".to_owned(); 6];
        let setting = Setting { machine: "m".to_owned(), versions, date: "2026-01-31".to_owned() };
        let lines = caption(&setting);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines.iter().all(|line| line.chars().count() <= CAPTION_LETTERS + 12), "{lines:?}");
        assert!(lines[2].starts_with("a-client"));
    }
}
