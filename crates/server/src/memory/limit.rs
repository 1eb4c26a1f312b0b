//! What this process may have, and what the system holds for it out of that.

use std::fs;
use std::path::{Path, PathBuf};

/// From here on a number is what version 1 of control groups says where there is no limit.
const NO_LIMIT: u64 = 1 << 62;

/// What this process may have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) bytes: u64,
    /// Where the group that has this limit says what it is used for. Version 1 of control groups limits sockets apart.
    statistics: Option<PathBuf>,
}

impl Limit {
    /// One that somebody wants: what the system limits is not known.
    pub(super) const fn wanted(bytes: u64) -> Self {
        Self { bytes, statistics: None }
    }

    /// What the system lets this process have: the least of its control groups (of either version) and the machine's memory.
    pub(super) fn of_system() -> Option<Self> {
        Self::of(read, machine_memory())
    }

    /// Bytes that the system itself holds for the group that has this limit, mostly for its sockets; 0 if it does not say.
    pub(super) fn system_bytes(&self) -> u64 {
        self.system_bytes_by(read)
    }

    fn system_bytes_by(&self, read: impl Fn(&Path) -> Option<String>) -> u64 {
        self.statistics.as_deref().and_then(read).as_deref().map_or(0, system_bytes_in)
    }

    /// As [`Self::of_system`]; `read` is given paths below `/`.
    fn of(read: impl Fn(&Path) -> Option<String>, machine: u64) -> Option<Self> {
        let groups = read(Path::new("proc/self/cgroup")).unwrap_or_default();
        let groups = groups.lines().filter_map(Group::of_line);
        let files = groups.flat_map(|Group { base, path, limit, statistics }| {
            let own = path.trim_start_matches('/');
            // A limit of any parent holds as well. In a container the path may be that of the host: then only the base is there.
            let folders = Path::new(own).ancestors().map(|path| Path::new(base).join(path));
            folders.map(|folder| (folder.join(limit), statistics.map(|file| folder.join(file)))).collect::<Vec<_>>()
        });
        let limits = files.filter_map(|(limit, statistics)| {
            let bytes = read(&limit)?.trim().parse().ok()?;
            Some(Self { bytes, statistics })
        });
        // A sandbox may not say what the machine has.
        let machine = (machine > 0).then(|| Self::wanted(machine));
        limits.filter(|limit| limit.bytes < NO_LIMIT).chain(machine).min_by_key(|limit| limit.bytes)
    }
}

/// Where a line of `/proc/self/cgroup` has its limit.
struct Group<'a> {
    /// The folder of the hierarchy.
    base: &'static str,
    /// The group in it.
    path: &'a str,
    /// The file in that.
    limit: &'static str,
    /// Beside it, what the memory is used for.
    statistics: Option<&'static str>,
}

impl<'a> Group<'a> {
    fn of_line(line: &'a str) -> Option<Self> {
        let mut parts = line.splitn(3, ':').skip(1);
        match (parts.next()?, parts.next()?) {
            ("", path) => {
                Some(Self { base: "sys/fs/cgroup", path, limit: "memory.max", statistics: Some("memory.stat") })
            }
            (controllers, path) if controllers.split(',').any(|name| name == "memory") => {
                Some(Self { base: "sys/fs/cgroup/memory", path, limit: "memory.limit_in_bytes", statistics: None })
            }
            _ => None,
        }
    }
}

/// In bytes. Asked of the system, and not of `/proc/meminfo`, which a unit of systemd hides (`ProcSubset=pid`).
fn machine_memory() -> u64 {
    let system = rustix::system::sysinfo();
    system.totalram.saturating_mul(system.mem_unit.into())
}

/// A file below `/`.
fn read(path: &Path) -> Option<String> {
    fs::read_to_string(Path::new("/").join(path)).ok()
}

/// What `memory.stat` says that is neither the process's own nor given back when memory is short: what goes through TCP, and what else
/// the system has, such as what goes through unix sockets. Before Linux 5.18 it does not say all of that.
fn system_bytes_in(statistics: &str) -> u64 {
    let bytes = |name: &str| {
        let mut lines = statistics.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(present, _)| *present == name).and_then(|(_, bytes)| bytes.trim().parse::<u64>().ok())
    };
    let unreclaimable = bytes("slab_unreclaimable").unwrap_or_default();
    let kernel = bytes("kernel").map(|all| all.saturating_sub(bytes("slab_reclaimable").unwrap_or_default()));
    bytes("sock").unwrap_or_default() + kernel.unwrap_or_default().max(unreclaimable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const MACHINE: u64 = 1024 * MIB;

    /// The limit that a system with these files and so much memory has, and where it says what of that is used.
    fn limit_of(files: &[(&str, &str)], machine: u64) -> Option<(u64, Option<String>)> {
        let read =
            |path: &Path| files.iter().find(|(known, _)| Path::new(known) == path).map(|(_, text)| (*text).to_owned());
        let Limit { bytes, statistics } = Limit::of(read, machine)?;
        Some((bytes, statistics.map(|path| path.display().to_string())))
    }

    #[test]
    fn without_a_group_the_machine_is_the_limit() {
        assert_eq!(limit_of(&[], MACHINE), Some((MACHINE, None)));
        let unlimited = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        let group = ("proc/self/cgroup", "11:cpu:/x\n5:memory:/\n");
        assert_eq!(limit_of(&[group, unlimited], MACHINE), Some((MACHINE, None)));
        assert_eq!(limit_of(&[group, unlimited], 0), None, "the machine's is hidden");
        let unlimited = ("sys/fs/cgroup/a/memory.max", "max\n");
        assert_eq!(limit_of(&[("proc/self/cgroup", "0::/a\n"), unlimited], MACHINE), Some((MACHINE, None)));
    }

    #[test]
    fn limit_of_the_own_group_or_of_one_around_it_holds() {
        let found = |bytes: u64, statistics: &str| Some((bytes, Some(statistics.to_owned())));
        let own = ("sys/fs/cgroup/a/b/memory.max", "268435456\n");
        let of_own = found(256 * MIB, "sys/fs/cgroup/a/b/memory.stat");
        assert_eq!(limit_of(&[("proc/self/cgroup", "0::/a/b\n"), own], MACHINE), of_own);
        let around = ("sys/fs/cgroup/a/memory.max", "134217728\n");
        let of_around = found(128 * MIB, "sys/fs/cgroup/a/memory.stat");
        assert_eq!(limit_of(&[("proc/self/cgroup", "0::/a/b\n"), own, around], MACHINE), of_around);
        assert_eq!(limit_of(&[("proc/self/cgroup", "0::/a/b\n"), own], 0), of_own, "the machine's is hidden");
        let v1 = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n");
        let of_the_host = ("proc/self/cgroup", "7:blkio,memory:/docker/123\n1:name=systemd:/\n");
        assert_eq!(limit_of(&[of_the_host, v1], MACHINE), Some((256 * MIB, None)));
    }

    #[test]
    fn what_the_system_holds_is_read_where_the_limit_is() {
        let limit = Limit { bytes: MIB, statistics: Some("a/memory.stat".into()) };
        let held =
            |text: &str| limit.system_bytes_by(|path| (path == Path::new("a/memory.stat")).then(|| text.to_owned()));
        let older = "anon 19922944\nsock 241172480\nslab_reclaimable 7\nslab_unreclaimable 20\nslab 27\n";
        assert_eq!(held(older), 241_172_500);
        assert_eq!(held(&format!("{older}kernel_stack 3\nkernel 107\n")), 241_172_580);
        assert_eq!((held("anon 1\nsocket 2\nsock x\n"), limit.system_bytes_by(|_| None)), (0, 0));
        assert_eq!(Limit::wanted(MIB).system_bytes_by(|_| Some("sock 1\n".to_owned())), 0);
    }
}
