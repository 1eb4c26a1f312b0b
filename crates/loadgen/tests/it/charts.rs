//! Every report makes a chart.

use cuttlebone_loadgen::scenario::Report;
use cuttlebone_loadgen::{chart, publish};

/// Draws the report as the program would, from its JSON; returns the SVG.
pub(crate) fn draw<R: Report>(report: &R) -> String {
    let json = publish::json(R::SCENARIO, report).unwrap();
    let svg = chart::chart(&serde_json::from_str(&json).unwrap()).unwrap().to_string();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    svg
}
