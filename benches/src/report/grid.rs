//! A table of words, laid out for a terminal or as Markdown.

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Strong,
    Plain,
    Faint,
}

/// The first lines of a table with its body.
#[derive(Debug)]
pub(super) struct Grid {
    pub(super) columns: Vec<Column>,
    pub(super) lines: Vec<Line>,
}

#[derive(Debug, Clone)]
pub(super) struct Column {
    /// A line break in it is one on the terminal.
    pub(super) head: String,
    pub(super) is_number: bool,
}

#[derive(Debug)]
pub(super) enum Line {
    Cells(Weight, Vec<String>),
    /// An empty line on the terminal, and nothing in Markdown.
    Gap,
}

const GAP: &str = "  ";

impl Grid {
    /// Leaves out each column that has nothing to say in any line.
    pub(super) fn without_empty_columns(mut self) -> Self {
        let is_said = |at: usize| self.cells().any(|(_, cells)| !matches!(cells[at].as_str(), "" | "-"));
        let kept: Vec<_> = (0..self.columns.len()).map(is_said).collect();
        retain(&mut self.columns, &kept);
        for line in &mut self.lines {
            if let Line::Cells(_, cells) = line {
                retain(cells, &kept);
            }
        }
        self
    }

    /// The lines of the text, each with its weight; the first ones are the heads.
    pub(super) fn text(&self) -> Vec<(Weight, String)> {
        let heads: Vec<Vec<&str>> =
            self.columns.iter().map(|column| column.head.split('\n').collect()).collect();
        let height = heads.iter().map(Vec::len).max().unwrap_or(0);
        // A short head stands on the line above the numbers.
        let head_line = |line: usize| {
            heads.iter().map(move |head| (line + head.len()).checked_sub(height).map_or("", |at| head[at]))
        };

        let widths = self.widths();
        let heads = (0..height).map(|line| (Weight::Faint, self.aligned(head_line(line), &widths)));
        let lines = self.lines.iter().map(|line| match line {
            Line::Cells(weight, cells) => (*weight, self.aligned(cells.iter().map(String::as_str), &widths)),
            Line::Gap => (Weight::Plain, String::new()),
        });
        heads.chain(lines).collect()
    }

    /// Of a strong line the name and the last figure are stressed.
    pub(super) fn markdown(&self) -> String {
        let heads = self.columns.iter().map(|column| column.head.replace('\n', " "));
        let rule = self.columns.iter().map(|column| if column.is_number { "---:" } else { "---" }.to_owned());
        let mut text = markdown_line(heads) + &markdown_line(rule);
        let last = self.columns.len().saturating_sub(1);
        for (weight, cells) in self.cells() {
            let stressed = |(at, cell): (usize, &String)| {
                let is_stressed = weight == Weight::Strong && (at == last || !self.columns[at].is_number);
                if is_stressed && !cell.is_empty() { format!("**{cell}**") } else { cell.clone() }
            };
            text += &markdown_line(cells.iter().enumerate().map(stressed));
        }
        text
    }

    fn cells(&self) -> impl Iterator<Item = (Weight, &Vec<String>)> {
        self.lines.iter().filter_map(|line| match line {
            Line::Cells(weight, cells) => Some((*weight, cells)),
            Line::Gap => None,
        })
    }

    fn widths(&self) -> Vec<usize> {
        let head = |column: &Column| column.head.split('\n').map(width).max().unwrap_or(0);
        let widest = |at: usize| self.cells().map(|(_, cells)| width(&cells[at])).max().unwrap_or(0);
        self.columns.iter().enumerate().map(|(at, column)| head(column).max(widest(at))).collect()
    }

    fn aligned<'a>(&self, cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
        let padded = cells.zip(&self.columns).zip(widths).map(|((cell, column), &width)| {
            if column.is_number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        padded.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    }
}

/// Every sign that is used here is as wide as any other.
fn width(text: &str) -> usize {
    text.chars().count()
}

fn retain<T>(items: &mut Vec<T>, kept: &[bool]) {
    let mut kept = kept.iter();
    items.retain(|_| *kept.next().unwrap_or(&true));
}

fn markdown_line(cells: impl Iterator<Item = String>) -> String {
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let column = |head: &str, is_number| Column { head: head.to_owned(), is_number };
        let cells = |weight, cells: [&str; 4]| Line::Cells(weight, cells.map(str::to_owned).to_vec());
        Grid {
            columns: vec![
                column("client", false),
                column("p50\nµs", true),
                column("MB", true),
                column("x", true),
            ],
            lines: vec![
                cells(Weight::Strong, ["ours", "1,234", "-", "1.5x"]),
                Line::Gap,
                cells(Weight::Plain, ["a peer", "7", "", ""]),
            ],
        }
        .without_empty_columns()
    }

    #[test]
    fn numbers_stand_under_each_other_and_short_heads_just_above_them() {
        let lines: Vec<_> = grid().text().into_iter().map(|(_, line)| line).collect();
        assert_eq!(
            lines,
            ["          p50", "client     µs     x", "ours    1,234  1.5x", "", "a peer      7",]
        );
    }

    #[test]
    fn markdown_aligns_numbers_and_stresses_who_is_strong() {
        assert_eq!(
            grid().markdown(),
            "| client | p50 µs | x |\n| --- | ---: | ---: |\n| **ours** | 1,234 | **1.5x** |\n| a peer | 7 |  |\n"
        );
    }
}
