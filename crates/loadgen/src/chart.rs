//! Charts made from reports.
//!
//! Every chart has a title, two axes with their units, and a name for each series. It is an SVG without scripts and
//! without fonts of its own, that can be read in light and dark.

mod from;
mod scale;
mod svg;

pub use from::chart;
use scale::Scale;

/// What is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    title: String,
    /// Below the title: what the figures belong to.
    subtitle: String,
    /// Across, with its unit.
    x_label: String,
    /// Up, with its unit.
    y_label: String,
    y_scale: Scale,
    data: Data,
}

#[derive(Clone, Debug, PartialEq)]
enum Data {
    /// Points joined by lines.
    Lines { x_scale: Scale, series: Vec<Line> },
    /// Bars side by side, for each of the categories.
    Bars { categories: Vec<String>, series: Vec<Bars> },
}

#[derive(Clone, Debug, PartialEq)]
struct Line {
    name: String,
    points: Vec<Point>,
    /// A mark of reference, without points.
    is_rule: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    x: f64,
    y: f64,
    /// From the smallest to the largest of several measurements.
    spread: Option<(f64, f64)>,
}

#[derive(Clone, Debug, PartialEq)]
struct Bars {
    name: String,
    /// One for each category; what was not measured is left out.
    values: Vec<Option<Bar>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Bar {
    value: f64,
    spread: Option<(f64, f64)>,
}

impl Chart {
    /// All figures up the chart.
    fn heights(&self) -> Vec<f64> {
        let with = |value: f64, spread: Option<(f64, f64)>| {
            [Some(value), spread.map(|spread| spread.0), spread.map(|spread| spread.1)]
        };
        let all: Vec<Option<f64>> = match &self.data {
            Data::Lines { series, .. } => {
                series.iter().flat_map(|line| &line.points).flat_map(|point| with(point.y, point.spread)).collect()
            }
            Data::Bars { series, .. } => series
                .iter()
                .flat_map(|bars| bars.values.iter().flatten())
                .flat_map(|bar| with(bar.value, bar.spread))
                .collect(),
        };
        all.into_iter().flatten().collect()
    }

    /// All figures across a chart of lines.
    fn widths(&self) -> Vec<f64> {
        match &self.data {
            Data::Lines { series, .. } => series.iter().flat_map(|line| &line.points).map(|point| point.x).collect(),
            Data::Bars { .. } => Vec::new(),
        }
    }
}
