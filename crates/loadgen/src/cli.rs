//! The command line, and the options made of it.

mod chart;
mod comeback;
mod common;
mod crowd;
mod harm;
mod load;
mod versus;

use clap::{Parser, Subcommand};
use cuttlebone_loadgen::scenario::{floor, hostile, isolation};

pub(crate) use chart::ChartArgs;
pub(crate) use comeback::{RestartArgs, ResumeArgs};
pub(crate) use crowd::{IdleArgs, MemoryArgs, RegisterArgs, StormArgs};
pub(crate) use harm::{AttackArgs, DisturbArgs, HostileArgs, IsolationArgs};
pub(crate) use load::{
    ChurnArgs, CurveArgs, FanInArgs, FloorArgs, FloorServerArgs, PairsArgs, RatioArgs, SaturateArgs,
};
pub(crate) use versus::VersusArgs;

/// Puts a signaling server under load and says how fast, how late and at which cost it answers.
///
/// A round trip is two forwards: client to device and back. Latency is of round trips; with a rate (the open loop) it
/// counts from when a message was due, not from when it was sent. CPU and memory are those of the process --pid.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Pairs of a device and a client send messages round: rate, latency, CPU, memory
    ///
    /// Measures round trips (two forwards each) in microseconds, forwards a second, CPU of a forward. In the closed loop a
    /// pair sends as soon as an answer makes room; with --rate all pairs together send so many messages a second, each at
    /// its time, whatever the server does.
    #[command(
        after_help = "Example: loadgen pairs --url ws://127.0.0.1:8080 --pairs 50 --rate 5000 --arrivals poisson \
        --sizes session --pid \"$(pidof cuttlebone)\""
    )]
    Pairs(PairsArgs),
    /// Many clients on each device, which answers each of them
    ///
    /// Measures as `pairs`, with --clients for each of --devices.
    #[command(after_help = "Example: loadgen fan-in --url ws://127.0.0.1:8080 --devices 10 --clients 50 --rate 5000")]
    FanIn(FanInArgs),
    /// The highest rate that is served in time, and how late half of it is, beside the floor
    ///
    /// Doubles the rate, then halves the distance, until the highest rate (round trips a second) is known at which the p99
    /// stays below --bound-ms, the rate is reached and nothing goes wrong; a rate is bad only if all of --tries were.
    /// Then p50 and p99 at half of it, beside those of the floor at half of its own and at the same rate, as ratios:
    /// median, smallest, largest.
    #[command(
        after_help = "Example: loadgen saturate --url ws://127.0.0.1:8080 --pairs 50 --sizes session --bound-ms 20 \
        --pid \"$(pidof cuttlebone)\" --json saturate.json"
    )]
    Saturate(SaturateArgs),
    /// What a forward costs with few pairs and with many, at one rate
    ///
    /// Measures CPU of a forward in microseconds and as a multiple of the floor, for each of --counts. What does not fit
    /// into the limits of file descriptors is left out, and said so.
    #[command(
        after_help = "Example: loadgen curve --url ws://127.0.0.1:8080 --counts 10,100,1000,10000 --rate 5000 --pid \
        \"$(pidof cuttlebone)\""
    )]
    Curve(CurveArgs),
    /// Sessions that come, say a few messages, and go, at a rate
    ///
    /// Measures the set-up of a session (from when it was due until device and client have met) and round trips in
    /// microseconds, CPU of a session, memory.
    #[command(
        after_help = "Example: loadgen churn --url ws://127.0.0.1:8080 --rate 200 --messages 3 --duration 30 --pid \
        \"$(pidof cuttlebone)\""
    )]
    Churn(ChurnArgs),
    /// The same load as `pairs` on a plain TCP relay: what the machine and tokio cost
    #[command(after_help = "Example: loadgen floor --pairs 50 --payload 1500 --in-flight 16")]
    Floor(FloorArgs),
    /// `floor` and `pairs` in turns: CPU of a forward as a multiple of the floor
    ///
    /// The floor stays plain, also if the server's url is wss.
    #[command(
        after_help = "Example: loadgen ratio --url wss://127.0.0.1:8443 --insecure --pid \"$(pidof cuttlebone)\" \
        --rounds 5"
    )]
    Ratio(RatioArgs),
    /// Two servers under the same load in turns, and the second as a multiple of the first
    ///
    /// Measures B / A of p50, p99, rate and CPU: median, smallest, largest over the rounds.
    #[command(after_help = "Example: loadgen versus --a ws://127.0.0.1:8080 --b ws://127.0.0.1:8081 --rounds 5 pairs \
        --pairs 50 --rate 2000")]
    Versus(VersusArgs),
    /// Connections on which nothing happens: memory of each
    ///
    /// Measures resident bytes of the server for each connection. Many connections come from several addresses of
    /// 127.0.0.0/8 (without TLS), and the soft limit of file descriptors is raised.
    #[command(
        after_help = "Example: loadgen idle --url ws://127.0.0.1:8080 --connections 19000 --connect-rate 3000 --pid \
        \"$(pidof cuttlebone)\""
    )]
    Idle(IdleArgs),
    /// What the server keeps after a storm of connections has passed
    ///
    /// Measures resident memory before, at most, and --recover seconds after, and the last divided by the first.
    #[command(
        after_help = "Example: loadgen memory --url ws://127.0.0.1:8080 --connections 15000 --waves 3 --recover 60 \
        --pid \"$(pidof cuttlebone)\""
    )]
    Memory(MemoryArgs),
    /// Many devices register at once, beside pairs at work
    #[command(after_help = "Example: loadgen register --url ws://127.0.0.1:8080 --devices 10000 --beside-pairs 50")]
    Register(RegisterArgs),
    /// Many devices come as fast as they may; what those hear that are refused
    ///
    /// Measures seconds until the first, 95 % and all are registered, the time of a registration and of a refusal, and what
    /// was heard (http_503, closed_4029, error_rate_limited, connect_refused …). The refused come again after a pause.
    #[command(
        after_help = "Example: loadgen storm --url ws://127.0.0.1:8080 --devices 10000 --at-once 1000 --beside-pairs \
        10"
    )]
    Storm(StormArgs),
    /// The connections of many clients are cut at once, and resumed
    ///
    /// Measures seconds until the first, 95 % and all clients are back, messages lost and doubled by their numbers, and
    /// whether clients kept their ids. Clients ask for resuming; with a server that knows nothing of it they begin anew.
    #[command(after_help = "Example: loadgen resume --url ws://127.0.0.1:8080 --clients 1000 --rate 500 --rounds 3")]
    Resume(ResumeArgs),
    /// The server goes and comes again under load
    ///
    /// Measures seconds until the first, 95 % and all devices and clients are back, from the signal on, and what was lost
    /// and doubled. With --command the server is started, ended (--signal) and started again; without, somebody else has to
    /// restart it, and the time begins with the first connection that breaks.
    #[command(
        after_help = "Example: loadgen restart --url ws://127.0.0.1:8080 --command 'cuttlebone serve' --signal kill \
        --devices 1000 --clients 100"
    )]
    Restart(RestartArgs),
    /// What others notice of one that does not read, or of one address that is greedy
    ///
    /// Measures the p99 of honest round trips without and with the disturbance, in turns, their ratio, and messages lost.
    /// Only a server on a loopback address can be disturbed.
    Isolation(IsolationArgs),
    /// Random attacks beside honest pairs; only on a server of this machine
    #[command(
        after_help = "Example: loadgen hostile --url ws://127.0.0.1:8080 --connections 1000 --duration 30 --pid \
        \"$(pidof cuttlebone)\""
    )]
    Hostile(HostileArgs),
    /// An SVG chart of a report that was written with --json
    #[command(after_help = "Example: loadgen chart --from report.json --out report.svg")]
    Chart(ChartArgs),
    #[command(name = floor::SUBCOMMAND, hide = true)]
    FloorServer(FloorServerArgs),
    #[command(name = hostile::SUBCOMMAND, hide = true)]
    HostileWorker(AttackArgs),
    #[command(name = isolation::SUBCOMMAND, hide = true)]
    DisturbWorker(DisturbArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use cuttlebone_loadgen::{Arrivals, Rate, Sizes};

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_scenario_has_an_example_that_can_be_read() {
        let mut seen = 0;
        let mut all: Vec<clap::Command> = Cli::command().get_subcommands().cloned().collect();
        let nested: Vec<clap::Command> = all.iter().flat_map(clap::Command::get_subcommands).cloned().collect();
        all.extend(nested.into_iter().filter(|command| command.get_after_help().is_some()));
        for command in all.iter().filter(|command| !command.is_hide_set() && command.get_name() != "isolation") {
            let name = command.get_name();
            let help = command.get_after_help().unwrap_or_else(|| panic!("{name} has no example")).to_string();
            let line = help.strip_prefix("Example: ").unwrap_or_else(|| panic!("{name}: {help}"));
            let line = line.replace("\"$(pidof cuttlebone)\"", "1").replace("'cuttlebone serve'", "x");
            if let Err(error) = Cli::try_parse_from(line.split_whitespace()) {
                panic!("{name}: {error}");
            }
            seen += 1;
        }
        assert!(seen >= 18, "{seen}");
    }

    #[test]
    fn sizes_and_arrivals_reach_the_scenario() {
        let shape = |line: &str| match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
            Command::Pairs(args) => args.options().unwrap().shape,
            other => panic!("{other:?}"),
        };
        let plain = shape("loadgen pairs --url ws://a --payload 300 --in-flight 4");
        assert_eq!((plain.sizes, plain.rate, plain.in_flight), (Sizes::Fixed(300), Rate::ClosedLoop, 4));
        let open = shape("loadgen pairs --url ws://a --sizes session --rate 70 --arrivals poisson");
        assert_eq!((open.sizes, open.rate), (Sizes::Session, Rate::PerSecond(70.0, Arrivals::Poisson)));
        let both = "loadgen pairs --url ws://a --sizes session --payload 300";
        assert!(Cli::try_parse_from(both.split_whitespace()).is_err());
    }
}
