//! A chart as SVG.

use std::fmt::{self, Write};

use super::scale::{Axis, Scale, figure};
use super::{Bars, Chart, Data, Line};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 86.0;
const RIGHT: f64 = WIDTH - 40.0;
const TOP: f64 = 96.0;
const BOTTOM: f64 = HEIGHT - 66.0;
/// Half of the cap of a whisker.
const CAP: f64 = 4.0;
/// What a character of a name takes, about.
const CHARACTER: f64 = 7.2;
const NAME_GAP: f64 = 40.0;
/// Colours there are; series beyond begin again.
const COLOURS: usize = 6;

/// Colours that can be told apart, also by those who see fewer, on white and on black. Lines also differ in their dashes.
const STYLE: &str = "\
svg{color-scheme:light dark;--back:#fff;--text:#1b1f24;--soft:#57606a;--grid:#d8dee4;\
--c0:#0b62c4;--c1:#c2410c;--c2:#04785a;--c3:#8a3ab9;--c4:#946a00;--c5:#b4237a}\
@media(prefers-color-scheme:dark){svg{--back:#0d1117;--text:#e6edf3;--soft:#9da7b3;--grid:#30363d;\
--c0:#6cb6ff;--c1:#ff9b5c;--c2:#4fd1a5;--c3:#c9a2ff;--c4:#e3b341;--c5:#ff8ac2}}\
text{font:13px system-ui,sans-serif;fill:var(--text)}.title{font-size:18px;font-weight:600}\
.soft{fill:var(--soft)}.grid{stroke:var(--grid)}.axis{stroke:var(--soft)}.line{fill:none;stroke-width:2}\
.rule{fill:none;stroke:var(--soft);stroke-width:1.5;stroke-dasharray:2 4}\
.s0{stroke:var(--c0)}.s1{stroke:var(--c1);stroke-dasharray:8 3}.s2{stroke:var(--c2);stroke-dasharray:3 3}\
.s3{stroke:var(--c3);stroke-dasharray:10 3 2 3}.s4{stroke:var(--c4);stroke-dasharray:5 5}.s5{stroke:var(--c5)}\
.f0{fill:var(--c0)}.f1{fill:var(--c1)}.f2{fill:var(--c2)}.f3{fill:var(--c3)}.f4{fill:var(--c4)}.f5{fill:var(--c5)}\
.whisker{stroke:var(--text);stroke-width:1.2;fill:none}";

impl fmt::Display for Chart {
    /// The SVG.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut heights = self.heights();
        if matches!(self.data, Data::Bars { .. }) {
            // So that the lowest bar can be seen where the axis does not begin at zero.
            heights
                .extend(heights.iter().copied().filter(|height| *height > 0.0).reduce(f64::min).map(|low| low / 2.0));
        }
        let y = Axis::around(self.y_scale, &heights);
        let (title, subtitle) = (escape(&self.title), escape(&self.subtitle));
        writeln!(
            f,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">"#
        )?;
        writeln!(f, "<title>{title}</title><desc>{subtitle}</desc><style>{STYLE}</style>")?;
        writeln!(f, r#"<rect width="{WIDTH}" height="{HEIGHT}" style="fill:var(--back)"/>"#)?;
        text(f, "title", LEFT - 66.0, 30.0, "start", &self.title)?;
        text(f, "soft", LEFT - 66.0, 50.0, "start", &self.subtitle)?;
        self.up(f, &y)?;
        match &self.data {
            Data::Lines { x_scale, series } => self.lines(f, *x_scale, series, &y)?,
            Data::Bars { categories, series } => bars(f, categories, series, &y)?,
        }
        let middle = f64::midpoint(LEFT, RIGHT);
        text(f, "soft", middle, HEIGHT - 16.0, "middle", &self.x_label)?;
        writeln!(f, "</svg>")
    }
}

impl Chart {
    /// The axis up, its figures and its name.
    fn up(&self, f: &mut fmt::Formatter<'_>, y: &Axis) -> fmt::Result {
        for tick in y.ticks() {
            let Some(at) = up(y, tick) else { continue };
            line(f, "grid", (LEFT, at), (RIGHT, at))?;
            text(f, "soft", LEFT - 8.0, at + 4.5, "end", &figure(tick))?;
        }
        line(f, "axis", (LEFT, TOP), (LEFT, BOTTOM))?;
        line(f, "axis", (LEFT, BOTTOM), (RIGHT, BOTTOM))?;
        let middle = f64::midpoint(TOP, BOTTOM);
        writeln!(
            f,
            r#"<text class="soft" text-anchor="middle" transform="translate(20 {middle:.1}) rotate(-90)">{}</text>"#,
            escape(&self.y_label)
        )
    }

    fn lines(&self, f: &mut fmt::Formatter<'_>, x_scale: Scale, series: &[Line], y: &Axis) -> fmt::Result {
        let x = Axis::around(x_scale, &self.widths());
        let across = |value: f64| x.place(value).map(|share| LEFT + share * (RIGHT - LEFT));
        for tick in x.ticks() {
            let Some(at) = across(tick) else { continue };
            line(f, "axis", (at, BOTTOM), (at, BOTTOM + 5.0))?;
            text(f, "soft", at, BOTTOM + 20.0, "middle", &figure(tick))?;
        }
        let names: Vec<(&str, bool)> = series.iter().map(|line| (line.name.as_str(), line.is_rule)).collect();
        legend(f, &names, false)?;
        for (n, one) in series.iter().enumerate() {
            let colour = n % COLOURS;
            let place = |x: f64, height: f64| Some((across(x)?, up(y, height)?));
            let path: Vec<String> = one
                .points
                .iter()
                .filter_map(|point| place(point.x, point.y))
                .map(|(x, y)| format!("{x:.1},{y:.1}"))
                .collect();
            let class = if one.is_rule { "rule".to_owned() } else { format!("line s{colour}") };
            writeln!(f, r#"<polyline class="{class}" points="{}"/>"#, path.join(" "))?;
            let marked = one.points.iter().filter(|_| !one.is_rule && one.points.len() <= 40);
            for point in marked {
                let Some((at, height)) = place(point.x, point.y) else { continue };
                whisker(f, at, point.spread, y)?;
                writeln!(f, r#"<circle class="f{colour}" cx="{at:.1}" cy="{height:.1}" r="3.5"/>"#)?;
            }
        }
        Ok(())
    }
}

fn bars(f: &mut fmt::Formatter<'_>, categories: &[String], series: &[Bars], y: &Axis) -> fmt::Result {
    let names: Vec<(&str, bool)> = series.iter().map(|bars| (bars.name.as_str(), false)).collect();
    legend(f, &names, true)?;
    let group = (RIGHT - LEFT) / categories.len().max(1) as f64;
    let width = (group * 0.7 / series.len().max(1) as f64).min(90.0);
    for (n, category) in categories.iter().enumerate() {
        let middle = LEFT + group * (n as f64 + 0.5);
        text(f, "soft", middle, BOTTOM + 20.0, "middle", category)?;
        let first = middle - width * series.len() as f64 / 2.0;
        for (m, bars) in series.iter().enumerate() {
            let Some(bar) = bars.values.get(n).copied().flatten() else { continue };
            let Some(top) = up(y, bar.value) else { continue };
            let (left, colour) = (first + width * m as f64, m % COLOURS);
            let (inner, height) = (width * 0.9, BOTTOM - top);
            writeln!(
                f,
                r#"<rect class="f{colour}" x="{left:.1}" y="{top:.1}" width="{inner:.1}" height="{height:.1}"/>"#
            )?;
            let at = left + inner / 2.0;
            whisker(f, at, bar.spread, y)?;
            let highest = bar.spread.and_then(|(_, most)| up(y, most)).map_or(top, |most| most.min(top));
            text(f, "", at, highest - 6.0, "middle", &figure(bar.value))?;
        }
    }
    Ok(())
}

/// The names of the series, with their colours.
fn legend(f: &mut fmt::Formatter<'_>, names: &[(&str, bool)], is_filled: bool) -> fmt::Result {
    let mut at = LEFT;
    for (n, (name, is_rule)) in names.iter().enumerate() {
        let colour = n % COLOURS;
        match (is_filled, is_rule) {
            (true, _) => writeln!(f, r#"<rect class="f{colour}" x="{at:.1}" y="66" width="22" height="10"/>"#)?,
            (false, true) => line(f, "rule", (at, 71.0), (at + 24.0, 71.0))?,
            (false, false) => line(f, &format!("line s{colour}"), (at, 71.0), (at + 24.0, 71.0))?,
        }
        text(f, "", at + 30.0, 75.5, "start", name)?;
        at += NAME_GAP + CHARACTER * name.chars().count() as f64 + 14.0;
    }
    Ok(())
}

fn whisker(f: &mut fmt::Formatter<'_>, at: f64, spread: Option<(f64, f64)>, y: &Axis) -> fmt::Result {
    let Some((low, high)) = spread.and_then(|(low, high)| Some((up(y, low)?, up(y, high)?))) else { return Ok(()) };
    let (left, right) = (at - CAP, at + CAP);
    writeln!(
        f,
        r#"<path class="whisker" d="M{left:.1} {low:.1}H{right:.1}M{at:.1} {low:.1}V{high:.1}M{left:.1} {high:.1}H{right:.1}"/>"#
    )
}

fn up(y: &Axis, value: f64) -> Option<f64> {
    y.place(value).map(|share| BOTTOM - share * (BOTTOM - TOP))
}

fn line(f: &mut fmt::Formatter<'_>, class: &str, from: (f64, f64), to: (f64, f64)) -> fmt::Result {
    let ((x1, y1), (x2, y2)) = (from, to);
    writeln!(f, r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#)
}

fn text(f: &mut fmt::Formatter<'_>, class: &str, x: f64, y: f64, anchor: &str, text: &str) -> fmt::Result {
    let text = escape(text);
    writeln!(f, r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#)
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        let _infallible = match char {
            '<' => write!(escaped, "&lt;"),
            '>' => write!(escaped, "&gt;"),
            '&' => write!(escaped, "&amp;"),
            '"' => write!(escaped, "&quot;"),
            control if control.is_control() => write!(escaped, " "),
            other => write!(escaped, "{other}"),
        };
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::{Bar, Point};
    use super::*;

    fn chart(data: Data) -> Chart {
        Chart {
            title: "A <title> & more".into(),
            subtitle: "below".into(),
            x_label: "pairs".into(),
            y_label: "CPU of a forward, \u{b5}s".into(),
            y_scale: Scale::Linear,
            data,
        }
    }

    #[test]
    fn lines_have_names_axes_points_and_spreads() {
        let point = |x, y| Point { x, y, spread: Some((y / 2.0, y * 2.0)) };
        let series = vec![
            Line { name: "floor".into(), points: vec![point(10.0, 1.0), point(1000.0, 2.0)], is_rule: false },
            Line { name: "bound".into(), points: vec![point(10.0, 3.0), point(1000.0, 3.0)], is_rule: true },
        ];
        let svg = chart(Data::Lines { x_scale: Scale::Log, series }).to_string();
        for part in [
            "A &lt;title&gt; &amp; more",
            ">floor<",
            ">bound<",
            ">pairs<",
            "\u{b5}s",
            ">1,000<",
            "prefers-color-scheme:dark",
        ] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert_eq!((svg.matches("<polyline").count(), svg.matches("<circle").count()), (2, 2));
        assert_eq!(svg.matches("class=\"whisker\"").count(), 2);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && !svg.contains("NaN"));
    }

    #[test]
    fn bars_have_their_figures_and_what_is_missing_is_left_out() {
        let bar = |value| Some(Bar { value, spread: None });
        let series = vec![
            Bars { name: "A".into(), values: vec![bar(1.0), None] },
            Bars { name: "B".into(), values: vec![bar(2.5), bar(f64::NAN)] },
        ];
        let svg = chart(Data::Bars { categories: vec!["p50".into(), "CPU".into()], series }).to_string();
        assert!(svg.contains(">2.5<") && svg.contains(">CPU<") && !svg.contains("NaN"), "{svg}");
        // The background, two names, two bars.
        assert_eq!(svg.matches("<rect").count(), 5);
    }

    #[test]
    fn the_lowest_bar_of_a_logarithmic_axis_can_be_seen() {
        let bar = |value| Some(Bar { value, spread: None });
        let series = vec![Bars { name: "A".into(), values: vec![bar(1.0), bar(100.0)] }];
        let data = Data::Bars { categories: vec!["p50".into(), "max".into()], series };
        let svg = Chart { y_scale: Scale::Log, ..chart(data) }.to_string();
        assert!(!svg.contains(r#"height="0.0""#), "{svg}");
    }
}
