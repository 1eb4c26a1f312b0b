//! Which chart a report makes.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::scale::{Scale, figure};
use super::{Bar, Bars, Chart, Data, Line, Point};

const PERCENTILES: [(&str, &str); 6] = [
    ("p50", "p50_us"),
    ("p90", "p90_us"),
    ("p99", "p99_us"),
    ("p99.9", "p999_us"),
    ("p99.99", "p9999_us"),
    ("max", "max_us"),
];

/// The chart of a report.
///
/// # Errors
/// When it is no report of this program.
pub fn chart(report: &Value) -> Result<Chart> {
    let scenario = report["scenario"].as_str().context("no scenario: this is no report of loadgen")?;
    let chart = match scenario {
        "pairs" | "floor" | "fan-in" => of_pairs(report, scenario),
        "churn" => {
            latencies("Sessions that come and go", report, &[("set-up", "/setup"), ("round trip", "/round_trip")])
        }
        "register" => beside(report, "Pairs while devices register", "/meanwhile", "meanwhile"),
        "hostile" => beside(report, "Pairs beside hostile connections", "/attacked", "under attack"),
        "storm" => of_storm(report),
        "resume" => comeback(report, "Clients that resume after a cut", "seconds from the cut"),
        "restart" => comeback(report, "Devices and clients after a restart", "seconds from the signal"),
        "saturate" => of_saturate(report),
        "curve" => of_curve(report),
        "ratio" => of_ratio(report),
        "versus" => of_versus(report),
        "isolation" => of_isolation(report),
        "idle" => memory(report, "Memory of idle connections"),
        "memory" => memory(report, "Memory after a storm of connections"),
        other => bail!("no chart for {other}"),
    };
    chart.with_context(|| format!("the report of {scenario} is not complete"))
}

fn number(report: &Value, pointer: &str) -> Result<f64> {
    report.pointer(pointer).and_then(Value::as_f64).with_context(|| format!("no {pointer}"))
}

fn array<'a>(report: &'a Value, pointer: &str) -> Result<&'a Vec<Value>> {
    report.pointer(pointer).and_then(Value::as_array).with_context(|| format!("no {pointer}"))
}

/// The median of a spread, times a factor, with its ends.
fn bar(spread: &Value, factor: f64) -> Option<Bar> {
    let at = |name: &str| spread[name].as_f64().map(|figure| figure * factor);
    Some(Bar { value: at("median")?, spread: at("min").zip(at("max")) })
}

fn point(x: f64, spread: &Value, factor: f64) -> Result<Point> {
    let Bar { value, spread } = bar(spread, factor).context("no spread")?;
    Ok(Point { x, y: value, spread })
}

fn plain(value: f64) -> Option<Bar> {
    Some(Bar { value, spread: None })
}

fn line(name: impl Into<String>, points: Vec<(f64, f64)>) -> Line {
    let points = points.into_iter().map(|(x, y)| Point { x, y, spread: None }).collect();
    Line { name: name.into(), points, is_rule: false }
}

/// Percentiles in milliseconds, as bars.
fn latencies(title: &str, report: &Value, series: &[(&str, &str)]) -> Result<Chart> {
    let mut all = Vec::new();
    for (name, pointer) in series {
        let Some(latency) = report.pointer(pointer).filter(|latency| latency.is_object()) else { continue };
        let values = PERCENTILES.map(|(_, field)| latency[field].as_f64().and_then(|micros| plain(micros / 1000.0)));
        all.push(Bars { name: (*name).to_owned(), values: values.to_vec() });
    }
    anyhow::ensure!(!all.is_empty(), "no latencies");
    Ok(Chart {
        title: title.into(),
        subtitle: "latency by percentile".into(),
        x_label: "percentile".into(),
        y_label: "milliseconds".into(),
        y_scale: Scale::Log,
        data: Data::Bars { categories: PERCENTILES.map(|(name, _)| name.to_owned()).into(), series: all },
    })
}

fn of_pairs(report: &Value, scenario: &str) -> Result<Chart> {
    let title = match scenario {
        "floor" => "Round trips through the floor",
        "fan-in" => "Round trips, many clients on a device",
        _ => "Round trips",
    };
    let chart = latencies(title, report, &[("round trip", "/latency"), ("sent late by", "/open_loop/lateness")])?;
    let (pairs, rate) = (number(report, "/pairs")?, number(report, "/forwards_per_second")?);
    let devices = if scenario == "fan-in" { "devices" } else { "pairs" };
    Ok(Chart { subtitle: format!("{} {devices}, {} forwards a second", figure(pairs), figure(rate)), ..chart })
}

fn beside(report: &Value, title: &str, pointer: &str, name: &str) -> Result<Chart> {
    let during = format!("{pointer}/latency");
    let chart = latencies(title, report, &[("before", "/quiet/latency"), (name, &during)])?;
    Ok(Chart { subtitle: "latency of round trips by percentile".into(), ..chart })
}

fn curve(recovery: &Value) -> Result<Vec<(f64, f64)>> {
    let points = array(recovery, "/curve")?;
    points.iter().map(|pair| Ok((number(pair, "/0")?, number(pair, "/1")?))).collect()
}

fn over_time(title: &str, subtitle: String, x_label: &str, y_label: &str, series: Vec<Line>) -> Chart {
    Chart {
        title: title.into(),
        subtitle,
        x_label: x_label.into(),
        y_label: y_label.into(),
        y_scale: Scale::Linear,
        data: Data::Lines { x_scale: Scale::Linear, series },
    }
}

fn of_storm(report: &Value) -> Result<Chart> {
    let of = number(report, "/registered/of")?;
    let attempts = number(report, "/attempts")?;
    let series = vec![line("registered", curve(&report["registered"])?)];
    let subtitle = format!("{} devices at once, {} attempts", figure(of), figure(attempts));
    Ok(over_time("Devices that come at once", subtitle, "seconds from the first attempt", "devices registered", series))
}

fn comeback(report: &Value, title: &str, x_label: &str) -> Result<Chart> {
    let rounds = array(report, "/rounds")?;
    let series = rounds.iter().enumerate().map(|(n, round)| Ok(line(format!("round {}", n + 1), curve(round)?)));
    let (devices, clients) = (number(report, "/devices")?, number(report, "/clients")?);
    let rate = number(report, "/per_second")?;
    let subtitle =
        format!("{} devices, {} clients, {} messages a second", figure(devices), figure(clients), figure(rate));
    let x_label = if report["restarted_by"] == "caller" { "seconds from the first break" } else { x_label };
    Ok(over_time(title, subtitle, x_label, "back", series.collect::<Result<_>>()?))
}

fn of_saturate(report: &Value) -> Result<Chart> {
    let mut series = Vec::new();
    let mut ends = (f64::INFINITY, 0.0_f64);
    for name in ["server", "floor"] {
        let mut points = Vec::new();
        for step in array(report, &format!("/{name}/steps"))? {
            points.push((number(step, "/per_second")?, number(step, "/p99_us")? / 1000.0));
        }
        points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        ends = points.iter().fold(ends, |(low, high), (rate, _)| (low.min(*rate), high.max(*rate)));
        series.push(line(name, points));
    }
    let bound = number(report, "/bound_us")? / 1000.0;
    series.push(Line { is_rule: true, ..line("bound", vec![(ends.0, bound), (ends.1, bound)]) });
    let (pairs, of) = (number(report, "/pairs")?, |name: &str| number(report, &format!("/{name}/per_second")));
    let (server, floor) = (of("server")?, of("floor")?);
    Ok(Chart {
        title: "Latency by rate".into(),
        subtitle: format!(
            "{} pairs; saturated at {} (server) and {} (floor) round trips a second",
            figure(pairs),
            figure(server),
            figure(floor)
        ),
        x_label: "round trips a second, planned".into(),
        y_label: "p99 of a round trip, milliseconds".into(),
        y_scale: Scale::Log,
        data: Data::Lines { x_scale: Scale::Log, series },
    })
}

fn of_curve(report: &Value) -> Result<Chart> {
    let points = array(report, "/points")?;
    let series = [("server", "server_us"), ("floor", "floor_us")].map(|(name, field)| {
        let points = points.iter().map(|one| point(number(one, "/pairs")?, &one[field], 1.0));
        Ok(Line { name: name.into(), points: points.collect::<Result<_>>()?, is_rule: false })
    });
    Ok(Chart {
        title: "CPU of a forward by the number of pairs".into(),
        subtitle: report["load"].as_str().unwrap_or_default().into(),
        x_label: "pairs".into(),
        y_label: "CPU of a forward, microseconds".into(),
        y_scale: Scale::Linear,
        data: Data::Lines { x_scale: Scale::Log, series: series.into_iter().collect::<Result<_>>()? },
    })
}

/// Two figures of each round, side by side.
fn rounds(report: &Value, names: [(&str, &str); 2], factor: f64) -> Result<Data> {
    let rounds = array(report, "/rounds")?;
    let series = names.map(|(name, pointer)| {
        let values = rounds.iter().map(|round| Ok(plain(number(round, pointer)? * factor)));
        Ok(Bars { name: name.into(), values: values.collect::<Result<_>>()? })
    });
    let categories = (1..=rounds.len()).map(|n| n.to_string()).collect();
    Ok(Data::Bars { categories, series: series.into_iter().collect::<Result<_>>()? })
}

fn of_ratio(report: &Value) -> Result<Chart> {
    let (median, min, max) =
        (number(report, "/ratio/median")?, number(report, "/ratio/min")?, number(report, "/ratio/max")?);
    Ok(Chart {
        title: "CPU of a forward".into(),
        subtitle: format!("server / floor: median {median:.2}, from {min:.2} to {max:.2}"),
        x_label: "round".into(),
        y_label: "CPU of a forward, microseconds".into(),
        y_scale: Scale::Linear,
        data: rounds(report, [("floor", "/floor_us"), ("server", "/server_us")], 1.0)?,
    })
}

fn of_isolation(report: &Value) -> Result<Chart> {
    let (median, kind) = (number(report, "/p99_ratio/median")?, report["orders"].as_str().unwrap_or_default());
    let names = [("without", "/without/latency/p99_us"), ("with", "/with/latency/p99_us")];
    Ok(Chart {
        title: format!("What the others notice: p99 with / without {median:.2} in the median"),
        subtitle: format!("disturbed by {kind}"),
        x_label: "round".into(),
        y_label: "p99 of a round trip, milliseconds".into(),
        y_scale: Scale::Linear,
        data: rounds(report, names, 0.001)?,
    })
}

fn of_versus(report: &Value) -> Result<Chart> {
    let categories = [("p50", "p50_ratio"), ("p99", "p99_ratio"), ("rate", "rate_ratio"), ("CPU", "cpu_ratio")];
    let values: Vec<Option<Bar>> = categories.map(|(_, field)| bar(&report[field], 1.0)).into();
    anyhow::ensure!(values.iter().any(Option::is_some), "no ratios");
    let text = |name: &str| report[name].as_str().unwrap_or_default().to_owned();
    Ok(Chart {
        title: format!("B as a multiple of A: {}", text("load")),
        subtitle: format!("A: {}   B: {}", text("a"), text("b")),
        x_label: text("unit"),
        y_label: "B / A".into(),
        y_scale: Scale::Linear,
        data: Data::Bars {
            categories: categories.map(|(name, _)| name.to_owned()).into(),
            series: vec![Bars { name: "median, from the smallest to the largest".into(), values }],
        },
    })
}

fn memory(report: &Value, title: &str) -> Result<Chart> {
    let moments = [("before", "before_bytes"), ("at most", "peak_bytes"), ("after", "after_bytes")];
    let mib = |field| number(report, &format!("/memory/{field}")).map(|bytes| plain(bytes / f64::from(1 << 20)));
    let values = moments.map(|(_, field)| mib(field)).into_iter().collect::<Result<_>>()?;
    Ok(Chart {
        title: title.into(),
        subtitle: format!("{} connections", figure(number(report, "/connections")?)),
        x_label: "moment".into(),
        y_label: "resident memory, MiB".into(),
        y_scale: Scale::Linear,
        data: Data::Bars {
            categories: moments.map(|(name, _)| name.to_owned()).into(),
            series: vec![Bars { name: "server".into(), values }],
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_report_makes_no_chart() {
        for (report, part) in [
            (json!({}), "no report of loadgen"),
            (json!({"scenario": "dance"}), "no chart for dance"),
            (json!({"scenario": "pairs"}), "not complete"),
            (json!({"scenario": "versus"}), "not complete"),
        ] {
            let error = format!("{:#}", chart(&report).unwrap_err());
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn spreads_become_whiskers_and_missing_ratios_are_left_out() {
        let spread = json!({"min": 1.0, "median": 2.0, "max": 4.0});
        let report = json!({"scenario": "versus", "a": "A", "b": "B", "p50_ratio": spread, "cpu_ratio": null});
        let Data::Bars { series, .. } = chart(&report).unwrap().data else { panic!("bars") };
        assert_eq!(series[0].values[0], Some(Bar { value: 2.0, spread: Some((1.0, 4.0)) }));
        assert_eq!(series[0].values[3], None);
    }

    #[test]
    fn steps_are_drawn_in_the_order_of_their_rates() {
        let step = |rate: f64, p99: f64| json!({"per_second": rate, "p99_us": p99});
        let side = json!({"per_second": 10.0, "steps": [step(40.0, 9000.0), step(10.0, 1000.0)]});
        let report = json!({"scenario": "saturate", "pairs": 5, "bound_us": 20_000.0, "server": side, "floor": side});
        let Data::Lines { series, .. } = chart(&report).unwrap().data else { panic!("lines") };
        let points: Vec<(f64, f64)> = series[0].points.iter().map(|point| (point.x, point.y)).collect();
        assert_eq!(points, [(10.0, 1.0), (40.0, 9.0)]);
        assert!(series[2].is_rule);
    }
}
