//! What a run says of itself: a table on the terminal, rows of JSON, and a page with a chart in `docs/bench`.

mod blocks;
mod chart;
mod docs;
mod figures;
mod grid;
mod json;
mod row;
#[cfg(test)]
mod samples;
mod setting;
mod standing;
mod steadiness;
mod subject;
mod summary;
mod terminal;

pub(crate) use self::docs::write_docs;
pub(crate) use self::json::json;
pub(crate) use self::row::Row;
pub(crate) use self::terminal::table;

/// How many rounds the clients were measured in; the fewest, where they differ.
fn rounds(rows: &[Row]) -> usize {
    let clients = rows.iter().filter(|row| standing::Role::of(row.client) != standing::Role::Gauge);
    // Hits and memory are the same in every round: one of them is enough.
    clients.filter(|row| row.ops_per_s > 0.0).map(|row| row.rounds).min().unwrap_or(0)
}
