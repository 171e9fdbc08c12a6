//! The contract of [`uwsd::ports::Backend`], sentence by sentence, for every backend that there is.
//!
//! A backend takes part by a [`Bed`] and one line: `contract!(bed);` in a module of its own, where `bed` is an
//! `async fn() -> Option<Arc<dyn Bed>>` (`None`: it cannot be tested here and has said so aloud).
//! The fake, which runs no processes, lists the sentences that it keeps: `contract!(@ bed; …)`.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use uwsd::domain::JobId;
use uwsd::ports::{Backend, Clock, Ending, RunRef, RunSpec, SystemClock, User};

pub mod endings;
pub mod fetching;
pub mod files;
pub mod limits;
pub mod logs;
pub mod pausing;
pub mod restart;
pub mod stopping;
pub mod surroundings;
pub mod twice;

/// How long anything in this suite may take.
pub const SOON: Duration = Duration::from_secs(60);

/// How large a log may become in every bed, but for what marks a cut.
pub const MAX_LOG: u64 = 16 << 20;

/// What a backend may be unable to do, here or at all; sentences about it are then skipped aloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Can {
    /// Enforce the memory limit.
    LimitMemory,
    /// Tell an end for want of memory from other kills.
    TellOutOfMemory,
    /// Tell the most memory that a run used, as the kernel counted it.
    KeepPeak,
    /// Keep a log within [`MAX_LOG`].
    LimitLogs,
    /// Enforce the number of processes.
    LimitProcesses,
    /// Take every capability away and forbid new privileges.
    DropPrivileges,
    /// Write job directories in place, so that they are seen while the run goes on.
    ShareFiles,
    /// Mount directories of the host and memory.
    Mount,
    /// Give the run further groups.
    ExtraGroups,
    /// Use images.
    Images,
    /// Tell a command's own exit code above 128 from a signal.
    TellHighExitCodes,
}

/// Where a backend is tested.
pub trait Bed: Send + Sync {
    /// The adapter of this life of the daemon.
    fn backend(&self) -> Arc<dyn Backend>;
    /// Another adapter over the same engine for the same instance, knowing nothing: as after a restart of the daemon.
    fn fresh_backend(&self) -> Arc<dyn Backend>;
    /// An adapter over the same engine for another instance.
    fn other_instance(&self) -> Arc<dyn Backend>;
    /// A run of `script` in a shell, with `PATH`, `HOME` and `JOB_OUTPUT_DIR` set, whose directories have been made
    /// (`in` holds `parameters.json`), as the user that this bed runs its jobs as.
    fn spec(&self, script: &str) -> RunSpec;
    /// Whether this bed can do that.
    fn can(&self, what: Can) -> bool;
    /// A user that is not the daemon's and as whom jobs can be run.
    fn other_user(&self) -> Option<User>;
    /// All that the engine tells of a run to those who may ask (as `docker inspect`), if there is such a thing.
    fn engine_tells(&self, run: &RunRef) -> Option<String>;
}

/// Whether the bed can do `what`; says aloud that a sentence is skipped if not.
pub fn can(bed: &dyn Bed, what: Can) -> bool {
    let is_able = bed.can(what);
    if !is_able {
        eprintln!("SKIPPED: this bed cannot {what:?}");
    }
    is_able
}

/// A new run of a new job.
pub fn new_run() -> RunRef {
    RunRef { job: JobId::new(SystemClock.now()), replica: 0, replicas: 1 }
}

/// `/uws/jobs/{id}` of the run.
pub fn inside(spec: &RunSpec) -> String {
    uwsd::ports::JobDirs::inside(&spec.run.job)
}

/// Everything before the start.
pub async fn prepare(backend: &dyn Backend, spec: &RunSpec) {
    backend.fetch_image(&spec.image, spec.pull, &|_: String| {}).await.expect("the image is there");
    backend.hand_over(spec).await.expect("the directories are handed over");
    backend.create(spec).await.expect("the run is created");
}

/// Everything up to the start.
pub async fn launch(backend: &dyn Backend, spec: &RunSpec) {
    prepare(backend, spec).await;
    backend.start(spec).await.expect("the run starts");
}

/// The end of a run, within the time of the suite.
pub async fn end_of(backend: &dyn Backend, spec: &RunSpec) -> Ending {
    soon("the end of the run", backend.wait(&spec.run, &spec.dirs)).await.expect("the backend knows the run")
}

/// The whole life of a run, up to `take_back`.
pub async fn live(backend: &dyn Backend, spec: &RunSpec) -> Ending {
    launch(backend, spec).await;
    let ending = end_of(backend, spec).await;
    backend.take_back(spec).await.expect("the output comes back");
    ending
}

/// Removes the run and its files, and sees that they are gone.
pub async fn clean(backend: &dyn Backend, spec: &RunSpec) {
    backend.remove(&spec.run).await.expect("the run is removed");
    backend.remove_files(spec.run.job, &spec.dirs, Some(&spec.image)).await.expect("the files are removed");
    assert!(!spec.dirs.root.exists(), "the job's directory is left over");
}

/// A log of the run, as it stands.
pub fn log_of(spec: &RunSpec, stream: &str) -> Vec<u8> {
    std::fs::read(spec.dirs.log(&spec.run).join(stream)).unwrap_or_default()
}

/// What the run wrote to its standard output, as text.
pub fn stdout_of(spec: &RunSpec) -> String {
    String::from_utf8_lossy(&log_of(spec, "stdout")).into_owned()
}

/// Waits until the run has written `text` to its standard output.
pub async fn until_it_says(spec: &RunSpec, text: &str) {
    until(&format!("the run says {text:?}"), || stdout_of(spec).contains(text)).await;
}

/// Waits until `condition` holds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    soon(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// The future's output, within the time of the suite.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.unwrap_or_else(|_| panic!("{what} did not come within {SOON:?}"))
}

/// Does something in a life of the daemon that ends at once afterwards: its adapter's tasks are killed where they are.
pub async fn in_an_earlier_life<F, Fut>(bed: &Arc<dyn Bed>, deed: F)
where
    F: FnOnce(Arc<dyn Backend>) -> Fut + Send + 'static,
    Fut: Future<Output = ()>,
{
    let bed = Arc::clone(bed);
    tokio::task::spawn_blocking(move || {
        let life = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        life.block_on(async { deed(bed.fresh_backend()).await });
        life.shutdown_background();
    })
    .await
    .expect("the earlier life went well");
}

/// Writes a file below the job's directory.
pub fn put(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap_or_else(|e| panic!("{} cannot be written: {e}", path.display()));
}

/// One test for each sentence of the contract, on the bed that the given async function makes.
macro_rules! contract {
    ($bed:path) => {
        $crate::suite::contract!(@ $bed;
            endings: an_exit_code_is_told, a_signal_is_told, a_high_exit_code_is_no_oom_and_told_in_any_case,
                out_of_memory_is_told,
                a_child_out_of_memory_that_brought_it_down_is_told,
                a_child_out_of_memory_that_was_survived_is_no_oom, the_times_are_told,
                a_command_that_is_not_there_never_ran, a_run_that_never_was_has_vanished;
            logs: both_streams_are_complete, a_burst_right_before_the_end_is_complete, short_runs_lose_nothing,
                bytes_are_kept_as_they_are, what_a_background_child_holds_open_does_not_stall_the_end,
                a_full_disk_under_the_logs_is_told_and_does_not_hide_the_end,
                of_a_flood_beginning_and_end_are_kept,
                a_log_that_is_just_not_too_long_is_kept_as_it_is;
            surroundings: the_environment_is_kept_byte_for_byte, of_a_repeated_name_the_last_one_wins,
                only_its_own_directories_are_seen, input_cannot_be_changed, home_and_output_are_writable,
                it_runs_as_its_user, it_has_its_groups, it_has_no_privileges, it_has_no_network_if_told_so,
                a_secret_is_a_private_file, a_secret_is_not_told, a_mount_is_read_only_unless_said_otherwise,
                memory_is_mounted, a_mount_of_nothing_is_refused, arguments_are_not_interpreted;
            limits: the_memory_limit_is_seen, the_peak_of_a_short_run_is_told_and_of_one_that_ended_meanwhile,
                a_fork_bomb_is_held, a_fork_bomb_harms_nobody_and_nothing_of_it_is_left, advisory_limits_are_told_before_the_run;
            restart: a_run_that_runs_is_adopted, a_run_that_ended_meanwhile_is_harvested,
                a_run_that_was_created_is_found_so, a_run_that_writes_on_keeps_every_byte,
                a_run_adopted_twice_is_told_the_same, an_adopted_run_can_be_stopped,
                a_burst_written_while_nobody_listened_is_complete;
            stopping: a_run_that_heeds_the_request_ends_by_it, a_run_that_does_not_heed_is_killed_after_the_grace,
                everything_that_it_started_is_gone, a_created_run_never_starts_afterwards,
                stopping_what_has_ended_or_never_was_succeeds, stopping_twice_succeeds;
            pausing: a_paused_run_stands_still_and_a_resumed_one_goes_on, a_paused_run_can_be_stopped,
                a_run_paused_in_an_earlier_life_goes_on_in_this_one, pausing_what_has_ended_or_never_was_succeeds;
            twice: created_twice_it_is_one, started_twice_it_runs_once, started_after_its_end_it_stays_ended,
                removed_twice_it_is_gone, runs_of_another_instance_are_not_found,
                replicas_are_told_apart, a_running_run_can_be_removed, a_creation_that_was_dropped_is_removed;
            files: private_files_come_back_readable, files_come_back_after_the_service_got_another_user,
                every_name_of_a_file_comes_back, links_are_left_alone, whatever_the_job_owns_is_removed,
                files_are_removed_twice, a_run_leaves_no_helper_behind;
            fetching: whether_images_are_used_is_told, an_image_that_is_there_is_named,
                an_image_that_is_nowhere_is_refused;
        );
    };
    (@ $bed:path; $($part:ident: $($sentence:ident),+ $(,)?;)+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() {
                if let Some(bed) = $bed().await {
                    $crate::suite::$part::$sentence(&bed).await;
                }
            }
        )+)+
    };
}
pub(crate) use contract;
