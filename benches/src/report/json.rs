//! Rows for other programs.

use super::Row;

/// The rows as a JSON array, one row a line. What was not measured is `null`.
pub(crate) fn json(rows: &[Row]) -> String {
    let lines: Vec<_> = rows.iter().map(line).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

fn line(row: &Row) -> String {
    serde_json::to_string(row).expect("a row holds numbers and names, which JSON can always say")
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    const PROMISED: [&str; 8] =
        ["bench", "client", "tasks", "ops_per_s", "p50_us", "p99_us", "p999_us", "cpu_us_per_op"];

    #[test]
    fn the_promised_fields_come_first_and_in_their_order() {
        for row in samples::pool().iter().chain(&samples::lru()) {
            let line = line(row);
            let places = PROMISED.map(|field| line.find(&format!("\"{field}\":")).expect(field));
            assert!(places.is_sorted(), "{line}");
            let behind = line.find("\"peak_rss_mb\":").unwrap();
            assert!(places.iter().all(|place| *place < behind), "{line}");
        }
    }

    #[test]
    fn the_whole_is_an_array_of_rows_as_they_were() {
        let rows = samples::pool();
        let values: Vec<serde_json::Value> = serde_json::from_str(&json(&rows)).unwrap();
        assert_eq!(values.len(), rows.len());
        assert_eq!(values[0]["client"], rows[0].client);
        assert_eq!(values[0]["ops_per_s"].as_f64(), Some(rows[0].ops_per_s));
        let unmeasured = rows.iter().position(|row| row.p50_us.is_none()).unwrap();
        assert!(values[unmeasured]["p50_us"].is_null());
        assert_eq!(json(&[]).split_whitespace().collect::<String>(), "[]");
    }
}
