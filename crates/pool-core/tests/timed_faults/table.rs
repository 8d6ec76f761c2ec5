//! The table in `docs/faults.md`: its words are held to what the tests assert, its figures are theirs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs, thread};

use cenote_testkit::is_long;
use parking_lot::Mutex;

use crate::actors::ACTORS;
use crate::rows::{Row, table};
use crate::verdict::Figures;

const PAGE: &str = include_str!("../../../../docs/faults.md");
const BEGIN: &str = "<!-- measured: begin -->\n";
const END: &str = "<!-- measured: end -->\n";

/// The cells of each row, by its name.
type Rows = BTreeMap<String, Vec<String>>;

#[test]
fn the_table_has_every_fault_and_every_word_of_it_is_asserted() {
    if is_writing() {
        return println!("the page as it was compiled in is being written anew");
    }
    let rows = read(PAGE);
    let asserted: Vec<Row> = table().into_iter().flat_map(|family| family.rows).collect();
    asserted.iter().for_each(|row| assert_words(row, &rows));
    assert_eq!(rows.len(), asserted.len(), "rows that no test asserts: {rows:?}");
    let heads = PAGE.matches(&head()).count();
    assert_eq!(heads, table().len(), "each family has a table with these columns: {}", head());
}

/// Holds the page to this row, or, under `CENOTE_WRITE_FAULTS=1`, writes the row into the page.
pub(crate) fn record(row: &Row, figures: &[Figures]) {
    static WRITING: Mutex<()> = Mutex::new(());
    if !is_writing() {
        return assert_words(row, &read(PAGE));
    }
    let _one_at_a_time = WRITING.lock();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/faults.md");
    let page = fs::read_to_string(&path).expect("the page");
    let mut rows = read(&page);
    let cells = row.sees.iter().zip(figures).map(|(sees, figures)| format!("{} · {figures}", sees.words()));
    rows.insert(row.name.to_owned(), cells.collect());
    let (before, _, after) = parts(&page);
    fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", written(&rows))).expect("the page");
}

/// An outage of the long tests has other figures.
fn is_writing() -> bool {
    !is_long() && env::var("CENOTE_WRITE_FAULTS").is_ok_and(|value| value == "1")
}

fn assert_words(row: &Row, rows: &Rows) {
    let cells = rows.get(row.name).unwrap_or_else(|| panic!("docs/faults.md has no row {}", row.name));
    let told: Vec<_> = cells.iter().map(|cell| cell.split(" · ").next().unwrap_or_default()).collect();
    let asserted: Vec<_> = row.sees.iter().map(crate::sees::Sees::words).collect();
    assert_eq!(told, asserted, "docs/faults.md, {}: CENOTE_WRITE_FAULTS=1 writes what is asserted", row.name);
}

/// What stands before, between and after the marks.
fn parts(page: &str) -> (&str, &str, &str) {
    let (before, rest) = page.split_once(BEGIN).expect("the mark where the table begins");
    let (table, after) = rest.split_once(END).expect("the mark where it ends");
    (before, table, after)
}

fn read(page: &str) -> Rows {
    let lines = parts(page).1.lines().filter_map(|line| line.strip_prefix("| **"));
    lines
        .map(|line| {
            let mut cells = line.trim_end_matches(" |").split(" | ");
            let name = cells.next().and_then(|first| first.split("**").next()).unwrap_or_default();
            (name.to_owned(), cells.map(str::to_owned).collect())
        })
        .collect()
}

fn head() -> String {
    let names: Vec<_> = ACTORS.iter().map(|actor| actor.name()).collect();
    format!("| fault | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()))
}

/// All families, with what is known of each row.
fn written(rows: &Rows) -> String {
    let mut text = String::new();
    for family in table() {
        let _ = write!(text, "\n## {}\n\n{}", family.title, head());
        for row in family.rows {
            let unmeasured = || row.sees.iter().map(|sees| format!("{} · ? · ?", sees.words())).collect();
            let cells: Vec<String> = rows.get(row.name).cloned().unwrap_or_else(unmeasured);
            let cells = cells.join(" | ");
            let _ = writeln!(text, "| **{}**: {} | {cells} |", row.name, row.what);
        }
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let _ = writeln!(text, "\nMeasured on a machine with {cores} cores, on {}.\n", today());
    text
}

fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    // Years from March, so that the leap day is the last day of one.
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year_of_era + next)
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |time: Duration| match time.as_millis() + 1 {
            ms @ 1_000.. => format!("{:.2}\u{a0}s", ms as f64 / 1_000.0),
            ms => format!("{ms}\u{a0}ms"),
        };
        write!(f, "{}\u{a0}· {}", shown(self.longest), self.recovered.map_or_else(|| "–".to_owned(), shown))
    }
}
