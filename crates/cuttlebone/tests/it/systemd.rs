//! What a service manager is told, and the units of `deploy/systemd`.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::program::{Running, file_with_mode, program, run, stderr, stdout};

const PATIENCE: Duration = Duration::from_secs(20);

/// The socket of a manager; gone when dropped.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(name: &str) -> Self {
        // The path of a socket has 107 bytes at most.
        let path = std::env::temp_dir().join(format!("cuttlebone-{name}-{}", std::process::id()));
        drop(std::fs::remove_file(&path));
        let socket = UnixDatagram::bind(&path).expect("binds");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        Self { socket, path }
    }

    fn start(&self, variables: &[(&str, &str)]) -> Running {
        let mut command = program(&["serve", "--listen", "127.0.0.1:0", "--metrics-listen", ""]);
        command.env("NOTIFY_SOCKET", &self.path).envs(variables.iter().copied());
        Running::start(command)
    }

    /// What it is told next.
    fn told(&self) -> String {
        let mut message = [0; 1024];
        let length = self.socket.recv(&mut message).expect("told in time");
        String::from_utf8_lossy(&message[..length]).into_owned()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}

#[test]
fn manager_hears_of_the_start_of_a_reload_and_of_the_stop() {
    let manager = Manager::new("notify");
    let mut running = manager.start(&[]);
    assert_eq!(manager.told(), "READY=1\n");
    running.signal("-HUP");
    let told = manager.told();
    assert!(told.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{told}");
    assert_eq!(manager.told(), "READY=1\n");
    running.signal("-TERM");
    assert_eq!(manager.told(), "STOPPING=1\n");
    assert_eq!(running.code(), Some(0));
}

#[test]
fn program_says_that_it_works_twice_as_often_as_it_is_asked_to() {
    let manager = Manager::new("watchdog");
    let running = manager.start(&[("WATCHDOG_USEC", "200000")]);
    assert_eq!(manager.told(), "READY=1\n");
    for _ in 0..5 {
        assert_eq!(manager.told(), "WATCHDOG=1\n");
    }
    running.signal("-TERM");
    while manager.told() != "STOPPING=1\n" {}
}

#[test]
fn another_process_is_not_vouched_for() {
    let manager = Manager::new("other");
    let mut running = manager.start(&[("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")]);
    assert_eq!(manager.told(), "READY=1\n");
    running.line();
    running.signal("-TERM");
    assert_eq!(manager.told(), "STOPPING=1\n");
}

/// systemd may let the user of a service read a credential by an access list, and then the group seems to be allowed to.
#[test]
fn credential_that_the_manager_hands_over_is_taken_with_the_mode_that_it_has() {
    let secret = "q8vZr1LwTn5XyK2hBf7JdGm0PsCa4eUo9iRtVxYbWkE";
    let path = file_with_mode("credential.jwt", secret, 0o440);
    let config = crate::program::file(
        "credential.toml",
        &format!(
            "[[access.jwt]]\nissuer = \"https://login.example\"\naudience = \"x\"\nalgorithm = \"HS256\"\nsecret_file = {path:?}\n"
        ),
    );
    let check = |directory: Option<&Path>| {
        let mut command = program(&["check-config", "--config", &config]);
        command.envs(directory.map(|directory| ("CREDENTIALS_DIRECTORY", directory)));
        command.output().expect("runs")
    };
    let refused = check(None);
    assert!(stderr(&refused).contains("mode 440"), "{}", stderr(&refused));
    let taken = check(Path::new(&path).parent());
    assert!(taken.status.success(), "{}", stderr(&taken));
    let elsewhere = check(Some(Path::new("/elsewhere")));
    assert!(!elsewhere.status.success());
}

fn analyze(args: &[&str]) -> Output {
    let output = Command::new("systemd-analyze").args(args).output();
    output.unwrap_or_else(|error| panic!("systemd-analyze is needed for this test: {error} (apt-get install systemd)"))
}

fn unit(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd").join(name)
}

#[test]
fn units_have_no_fault_and_little_is_exposed() {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("units");
    std::fs::create_dir_all(&directory).expect("made");
    let service = std::fs::read_to_string(unit("cuttlebone.service")).expect("it is there");
    let installed = "ExecStart=/usr/local/bin/cuttlebone ";
    assert!(service.contains(installed));
    // The program has to be there, and it is not installed.
    let service = service.replace(installed, concat!("ExecStart=", env!("CARGO_BIN_EXE_cuttlebone"), " "));
    std::fs::write(directory.join("cuttlebone.service"), service).expect("written");
    std::fs::copy(unit("cuttlebone.socket"), directory.join("cuttlebone.socket")).expect("copied");
    for name in ["cuttlebone.service", "cuttlebone.socket"] {
        let verified = analyze(&["verify", "--man=no", &directory.join(name).to_string_lossy()]);
        assert!(verified.status.success() && stderr(&verified).is_empty(), "{name}: {}", stderr(&verified));
    }
    let path = unit("cuttlebone.service");
    // Ten times the figure that it shows.
    let judged = analyze(&["security", "--offline=yes", "--threshold=15", "--no-pager", &path.to_string_lossy()]);
    let page = stdout(&judged);
    let figure = page.lines().find(|line| line.contains("Overall exposure level")).unwrap_or_default();
    assert!(judged.status.success(), "{figure}\n{}", stderr(&judged));
    assert!(figure.contains("Overall exposure level"), "{page}");
}

/// `ExecStart` is a command that the program takes, and its times fit those of the program.
#[test]
fn service_waits_longer_than_the_program_drains() {
    let service = std::fs::read_to_string(unit("cuttlebone.service")).expect("it is there");
    let value =
        |key: &str| service.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).expect("a value");
    let stop: u64 = value("TimeoutStopSec").parse().expect("seconds");
    assert!(Duration::from_secs(stop) > 2 * cuttlebone_server::Settings::default().timeouts.drain);
    let mut words = value("ExecStart").split(' ').skip(1).collect::<Vec<_>>();
    words.pop();
    words.push("/nowhere");
    let output = run(&words);
    assert_eq!(output.status.code(), Some(78), "{}", stderr(&output));
    assert!(value("RestartPreventExitStatus").split(' ').any(|code| code == "78"));
}
