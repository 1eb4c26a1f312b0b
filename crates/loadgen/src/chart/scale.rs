//! Where a figure lies on an axis, and which figures are written beside it.

/// How figures lie on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// In equal steps, from zero on.
    Linear,
    /// In equal factors.
    Log,
}

/// An axis from here to there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    scale: Scale,
    from: f64,
    to: f64,
}

/// Figures beside an axis, about.
const TICKS: f64 = 6.0;
/// Decades from which on only powers of ten are written.
const MANY_DECADES: f64 = 2.5;

impl Axis {
    /// An axis that holds these. What a logarithm can't hold is left out.
    pub(super) fn around(scale: Scale, figures: &[f64]) -> Self {
        let fits = |figure: &&f64| figure.is_finite() && (scale == Scale::Linear || **figure > 0.0);
        let (low, high) = figures
            .iter()
            .filter(fits)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), figure| (low.min(*figure), high.max(*figure)));
        match scale {
            Scale::Linear => {
                let high = if high > 0.0 { high } else { 1.0 };
                let step = step(high);
                Self { scale, from: 0.0, to: (high / step).ceil() * step }
            }
            Scale::Log if low > high => Self { scale, from: 0.1, to: 1.0 },
            Scale::Log => {
                let (from, to) = (below(low), above(high));
                Self { scale, from, to: if to > from { to } else { from * 10.0 } }
            }
        }
    }

    /// From 0 at one end to 1 at the other; `None` for what has no place.
    pub(super) fn place(&self, figure: f64) -> Option<f64> {
        let share = match self.scale {
            Scale::Linear => (figure - self.from) / (self.to - self.from),
            Scale::Log => (figure / self.from).ln() / (self.to / self.from).ln(),
        };
        share.is_finite().then(|| share.clamp(0.0, 1.0))
    }

    /// The figures to write beside it.
    pub(super) fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => {
                let step = step(self.to);
                let mut count = 0.0;
                let ticks = std::iter::from_fn(|| {
                    let tick = count * step;
                    count += 1.0;
                    (tick <= self.to * 1.000_001).then_some(tick)
                });
                ticks.collect()
            }
            Scale::Log => {
                let decades = (self.to / self.from).log10();
                let steps: &[f64] = if decades > MANY_DECADES { &[1.0] } else { &[1.0, 2.0, 5.0] };
                let first = self.from.log10().floor();
                let powers = (0..64).map(|n| 10f64.powf(first + f64::from(n)));
                let all = powers.flat_map(|power| steps.iter().map(move |step| power * step));
                all.skip_while(|tick| *tick < self.from * 0.999_999)
                    .take_while(|tick| *tick <= self.to * 1.000_001)
                    .collect()
            }
        }
    }
}

/// A round distance for an axis from 0 to `high`.
fn step(high: f64) -> f64 {
    let rough = high / TICKS;
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| power * factor >= rough).unwrap_or(10.0);
    power * factor
}

/// The nearest of 1, 2, 5, 10, … that is not above.
fn below(figure: f64) -> f64 {
    let power = 10f64.powf(figure.log10().floor());
    let factor = [5.0, 2.0, 1.0].into_iter().find(|factor| power * factor <= figure * 1.000_001).unwrap_or(1.0);
    power * factor
}

/// The nearest of 1, 2, 5, 10, … that is not below.
fn above(figure: f64) -> f64 {
    let power = 10f64.powf(figure.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| power * factor >= figure * 0.999_999).unwrap_or(10.0);
    power * factor
}

/// A figure for people: three digits, thousands apart.
pub(super) fn figure(figure: f64) -> String {
    if figure == 0.0 {
        return "0".into();
    }
    let size = figure.abs();
    if size.round() >= 1000.0 {
        let whole = format!("{:.0}", size.round());
        let head = whole.len() % 3;
        let mut text = String::from(if figure < 0.0 { "-" } else { "" });
        for (n, digit) in whole.chars().enumerate() {
            if n > 0 && n % 3 == head {
                text.push(',');
            }
            text.push(digit);
        }
        return text;
    }
    let digits = usize::try_from((2.0 - size.log10().floor()).clamp(0.0, 9.0) as i64).unwrap_or(0);
    let text = format!("{figure:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_axis_begins_at_zero_and_has_round_figures() {
        let axis = Axis::around(Scale::Linear, &[3.0, 9.3]);
        assert_eq!(axis.ticks(), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!((axis.place(0.0), axis.place(5.0), axis.place(10.0)), (Some(0.0), Some(0.5), Some(1.0)));
        assert_eq!(Axis::around(Scale::Linear, &[]).ticks().first(), Some(&0.0));
    }

    #[test]
    fn a_logarithmic_axis_has_equal_factors() {
        let axis = Axis::around(Scale::Log, &[1.5, 0.0, 60.0]);
        let ticks: Vec<String> = axis.ticks().into_iter().map(figure).collect();
        assert_eq!(ticks, ["1", "2", "5", "10", "20", "50", "100"]);
        assert!((axis.place(10.0).unwrap() - 0.5).abs() < 1e-9);
        assert_eq!(axis.place(0.0), None);
        let wide: Vec<String> = Axis::around(Scale::Log, &[10.0, 10_000.0]).ticks().into_iter().map(figure).collect();
        assert_eq!(wide, ["10", "100", "1,000", "10,000"]);
        assert!(Axis::around(Scale::Log, &[5.0]).ticks().len() > 1);
        assert!(!Axis::around(Scale::Log, &[]).ticks().is_empty());
    }

    #[test]
    fn figures_are_written_for_people() {
        for (value, text) in [
            (0.0, "0"),
            (0.05, "0.05"),
            (1.0, "1"),
            (1.234, "1.23"),
            (12.5, "12.5"),
            (100.0, "100"),
            (999.6, "1,000"),
            (1000.0, "1,000"),
            (1_234_567.0, "1,234,567"),
            (-2500.0, "-2,500"),
        ] {
            assert_eq!(figure(value), text);
        }
    }
}
