//! `cargo xtask ci`: every step in order, a table of them, and a line that counts.
//!
//! A failed step does not stop the later ones: one run shows all that is wrong.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::clock;
use crate::steps::{STEPS, Step};

/// What became of a step.
struct Outcome {
    name: &'static str,
    took: Duration,
    error: Option<anyhow::Error>,
}

/// Prints the names of the steps.
pub(crate) fn list() {
    for step in STEPS {
        println!("{:<12} {}", step.name, step.about);
    }
}

/// Runs the named steps, or all if none is named.
pub(crate) fn run(only: &[String]) -> Result<ExitCode> {
    let chosen = choose(STEPS, only)?;
    let outcomes: Vec<Outcome> = chosen.into_iter().map(run_step).collect();
    let failed = outcomes.iter().filter(|outcome| outcome.error.is_some()).count();
    print!("{}", table(&outcomes));
    println!("{} passed, {failed} failed", outcomes.len() - failed);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn choose<'a>(steps: &'a [Step], only: &[String]) -> Result<Vec<&'a Step>> {
    if let Some(unknown) = only.iter().find(|name| steps.iter().all(|step| step.name != **name)) {
        let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
        bail!("no step {unknown:?}; there are {}", names.join(", "));
    }
    Ok(steps.iter().filter(|step| only.is_empty() || only.iter().any(|name| name == step.name)).collect())
}

fn run_step(step: &Step) -> Outcome {
    println!("\n== {}: {}", step.name, step.about);
    let start = clock::now();
    let error = (step.run)().err();
    if let Some(error) = &error {
        println!("== {} FAILED: {error:#}", step.name);
    }
    Outcome { name: step.name, took: start.elapsed(), error }
}

fn table(outcomes: &[Outcome]) -> String {
    let mut table = String::from("\n");
    let mut total = Duration::ZERO;
    for Outcome { name, took, error } in outcomes {
        let word = if error.is_some() { "FAILED" } else { "passed" };
        table += &format!("{name:<12} {word}  {:>6.1} s\n", took.as_secs_f64());
        if let Some(error) = error {
            table += &format!("             {error:#}\n");
        }
        total += *took;
    }
    table + &format!("{:<12}         {:>6.1} s\n", "total", total.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_steps_are_chosen() {
        assert_eq!(choose(STEPS, &[]).unwrap().len(), STEPS.len());
        let one = choose(STEPS, &["fmt".to_owned()]).unwrap();
        assert_eq!(one.iter().map(|step| step.name).collect::<Vec<_>>(), ["fmt"]);
        assert!(choose(STEPS, &["fnt".to_owned()]).is_err());
    }

    #[test]
    fn a_failed_step_is_in_the_table_with_its_reason() {
        let step = Step { name: "sample", about: "fails", run: || bail!("the reason") };
        let outcome = run_step(&step);
        let table = table(&[outcome]);
        assert!(table.contains("FAILED") && table.contains("the reason"), "{table}");
    }
}
