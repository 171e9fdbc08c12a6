//! A control group of ours above each container: what the kernel counts there outlives the container.
//!
//! The engine removes a container's own group with the last process. One above it stays until we remove it, also while the
//! daemon is down: `/uwsd/{instance}/{run}`, in the memory hierarchy (v1) or in the only one (v2). The engine makes the
//! same path in its other hierarchies, and leaves it there to us too.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tracing::warn;

use super::connect::Client;
use crate::backend::cgroup::{MemoryFiles, Mounts, OURS, Version, can_make_groups, delegate};
use crate::ports::RunRef;

/// Where the groups above our containers are.
#[derive(Debug, Clone)]
pub(super) struct Parents(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Below the mount point of each hierarchy: `uwsd/{instance}`.
    ours: PathBuf,
    /// Found when first needed.
    place: OnceLock<Option<Place>>,
    /// Whether the engine turned out to make its groups where we cannot see them.
    is_elsewhere: AtomicBool,
    /// Whether what earlier lives left was removed.
    is_swept: AtomicBool,
}

/// Where groups can be made.
#[derive(Debug)]
struct Place {
    /// The mount point with the memory controller.
    memory: PathBuf,
    version: Version,
    /// Whether events of the groups below one are counted in it too.
    counts_events_below: bool,
    /// Every mount point, that one too.
    all: Vec<PathBuf>,
}

/// The group above one container, with what is counted there.
#[derive(Debug, Clone)]
pub(super) struct Parent {
    memory: MemoryFiles,
    counts_events_below: bool,
}

impl Parent {
    /// The most memory that the container used; `None` where the kernel does not keep it.
    pub(super) fn peak(&self) -> Option<u64> {
        self.memory.peak()
    }

    /// Whether the container ran into its limit of `limit` bytes and the kernel killed a process of it for that; `None`:
    /// it is not told here.
    pub(super) fn has_run_out(&self, limit: u64) -> Option<bool> {
        if self.counts_events_below {
            return self.memory.has_run_out();
        }
        // Of version 1 the kill is counted in the group of the container alone. But who never came near the limit did not
        // run into it.
        self.memory.has_reached(limit).filter(|has_reached| !has_reached)
    }

    /// Whether the limit of `limit` bytes was reached: the sign of an OOM, or of files in the page cache.
    pub(super) fn has_reached(&self, limit: u64) -> bool {
        self.memory.has_reached(limit).unwrap_or(false)
    }

    pub(super) const fn memory(&self) -> &MemoryFiles {
        &self.memory
    }
}

impl Parents {
    pub(super) fn new(instance: &str) -> Self {
        let ours = Path::new(OURS).join(instance);
        Self(Arc::new(Inner {
            ours,
            place: OnceLock::new(),
            is_elsewhere: AtomicBool::new(false),
            is_swept: AtomicBool::new(false),
        }))
    }

    /// Makes the group for `run`; its path in the engine's words, or `None` where there can be none.
    pub(super) async fn make(&self, client: &Client, is_local: bool, run: &RunRef) -> Option<String> {
        // systemd's driver wants a slice, which is systemd's to make and to end.
        if !is_local || !client.is_cgroupfs || self.0.is_elsewhere.load(Ordering::Relaxed) {
            return None;
        }
        let name = run.name();
        self.blocking(move |inner| inner.make(&name)).await
    }

    /// The group above the container of `run`, if it has one.
    pub(super) async fn find(&self, run: &RunRef) -> Option<Parent> {
        let name = run.name();
        self.blocking(move |inner| inner.find(&name)).await
    }

    /// Removes the group of `run`, if it has one, once its container is gone.
    pub(super) async fn remove(&self, run: &RunRef) {
        let name = run.name();
        self.blocking(move |inner| {
            inner.remove(&name);
            None::<()>
        })
        .await;
    }

    /// Removes the groups of our runs that are none of these; only the first call does.
    pub(super) async fn sweep(&self, runs: impl Iterator<Item = RunRef>) {
        let names: Vec<String> = runs.map(|run| run.name()).collect();
        self.blocking(move |inner| {
            inner.sweep(&names);
            None::<()>
        })
        .await;
    }

    /// Nothing was ever counted in the group of a run that ran: the engine has other groups than we see, as from inside a
    /// container.
    pub(super) fn give_up(&self) {
        if !self.0.is_elsewhere.swap(true, Ordering::Relaxed) {
            warn!("the engine's cgroups are not those seen here: the memory that jobs use at most is not known");
        }
    }

    async fn blocking<T: Send + 'static>(&self, deed: impl FnOnce(&Inner) -> Option<T> + Send + 'static) -> Option<T> {
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || deed(&inner)).await.ok().flatten()
    }
}

impl Inner {
    fn place(&self) -> Option<&Place> {
        self.place.get_or_init(|| Place::find(&Mounts::read(), &self.ours)).as_ref()
    }

    fn make(&self, name: &str) -> Option<String> {
        let place = self.place()?;
        let dir = place.memory.join(&self.ours).join(name);
        fs::create_dir_all(&dir).ok()?;
        if place.version == Version::V2 {
            dir.parent().filter(|ours| delegate(ours))?;
        }
        Some(format!("/{}", self.ours.join(name).to_str()?))
    }

    fn find(&self, name: &str) -> Option<Parent> {
        let place = self.place()?;
        let dir = place.memory.join(&self.ours).join(name);
        let memory = dir.is_dir().then(|| MemoryFiles::new(dir, place.version))?;
        Some(Parent { memory, counts_events_below: place.counts_events_below })
    }

    fn remove(&self, name: &str) {
        for point in self.place().into_iter().flat_map(|place| &place.all) {
            // Never the directory above: the engine may be making the groups of another container in it.
            remove(&point.join(&self.ours).join(name));
        }
    }

    fn sweep(&self, names: &[String]) {
        // Once, before anything is started: later there are groups whose containers are still being made.
        if self.is_swept.swap(true, Ordering::Relaxed) {
            return;
        }
        for point in self.place().into_iter().flat_map(|place| &place.all) {
            let ours = point.join(&self.ours);
            for entry in fs::read_dir(&ours).into_iter().flatten().flatten() {
                let name = entry.file_name();
                if entry.path().is_dir() && names.iter().all(|known| *name != **known) {
                    remove(&entry.path());
                }
            }
            let _ = fs::remove_dir(ours); // runs may be there
        }
    }
}

impl Place {
    fn find(mounts: &Mounts, ours: &Path) -> Option<Self> {
        let found = mounts.of("cgroup", Some("memory")).map(|mount| (mount, Version::V1));
        let (mount, version) = found.or_else(|| Some((mounts.of("cgroup2", None)?, Version::V2)))?;
        // In a container's view paths mean something else than in the engine's.
        if !mount.is_whole() {
            return None;
        }
        let base = mount.point.join(ours);
        let can_count = match version {
            // Kernels before 5.11 can count each group for itself alone.
            Version::V1 => {
                can_make_groups(&base)
                    && fs::read_to_string(base.join("memory.use_hierarchy")).is_ok_and(|text| text.trim() != "0")
            }
            Version::V2 => {
                let above = base.parent()?;
                delegate(&mount.point) && can_make_groups(above) && delegate(above) && can_make_groups(&base)
            }
        };
        let _ = fs::remove_dir(base); // it is made again for a run
        let counts_events_below = version == Version::V2 && !mount.has("memory_localevents");
        let all = mounts.iter().filter(|mount| mount.is_whole()).map(|mount| mount.point.clone()).collect();
        can_count.then(|| Self { memory: mount.point.clone(), version, counts_events_below, all })
    }
}

/// Removes a group and those below it, which an engine that was killed may have left; one with processes stays.
fn remove(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts(point: &Path, root: &str) -> Mounts {
        Mounts::parse(&format!("35 31 0:31 {root} {} rw - cgroup cgroup rw,memory\n", point.display()))
    }

    #[test]
    fn only_groups_of_our_instance_that_no_run_has_any_more_are_swept() {
        let root = tempfile::tempdir().expect("a directory");
        let groups = ["uwsd/one/a", "uwsd/one/b/container", "uwsd/one/c", "uwsd/two/a"];
        for group in groups {
            fs::create_dir_all(root.path().join(group)).expect("made");
        }
        fs::write(root.path().join("uwsd/one/memory.use_hierarchy"), "1\n").expect("written");
        let inner = Inner {
            ours: "uwsd/one".into(),
            place: OnceLock::new(),
            is_elsewhere: AtomicBool::new(false),
            is_swept: AtomicBool::new(false),
        };
        let place = Place::find(&mounts(root.path(), "/"), &inner.ours).expect("a place");
        inner.place.set(Some(place)).expect("new");
        inner.sweep(&["c".to_owned()]);
        let left: Vec<&str> = groups.into_iter().filter(|group| root.path().join(group).exists()).collect();
        assert_eq!(left, ["uwsd/one/c", "uwsd/two/a"]);
        assert_eq!(inner.make("d").as_deref(), Some("/uwsd/one/d"));
        assert!(inner.find("d").is_some() && inner.find("a").is_none());
        inner.remove("d");
        assert!(inner.find("d").is_none() && root.path().join("uwsd/one").exists());
    }

    #[test]
    fn in_a_view_of_a_part_and_where_each_group_counts_alone_there_is_no_place() {
        let root = tempfile::tempdir().expect("a directory");
        let ours = Path::new("uwsd/one");
        fs::create_dir_all(root.path().join(ours)).expect("made");
        let flag = root.path().join("uwsd/one/memory.use_hierarchy");
        fs::write(&flag, "1\n").expect("written");
        assert!(Place::find(&mounts(root.path(), "/docker/abc"), ours).is_none());
        assert!(Place::find(&mounts(root.path(), "/"), ours).is_some());
        fs::write(&flag, "0\n").expect("written");
        assert!(Place::find(&mounts(root.path(), "/"), ours).is_none());
    }
}
