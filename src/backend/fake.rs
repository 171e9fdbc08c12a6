//! A backend without an engine: each command is a small script, for tests that need speed.
//!
//! The command is a list of steps between `;`: `print TEXT` (to stdout) and `complain TEXT` (to stderr), with `-n`
//! before the text for no line's end, `write NAME TEXT` (an output file), `append NAME TEXT` (a line to one), `sleep MS`,
//! `fill BYTES` (beside the job's directories; from the beginning on), `mute` (of those the engine never tells).
//! The last is one of `exit N` (0 if missing), `signal N`, `oom`, `vanish`, `hang` (until stopped), `stubborn` (hang, and
//! ignore all but the kill), `heed N TEXT` (hang; when asked to stop, print and exit). `$NAME` stands for a variable of
//! the run. Of a script with the word "sampled" the peak of the memory is only sampled.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::backend::fake_images::FakeImages;
use crate::backend::fake_script::{Played, expanded, filled, play, stopped};
use crate::backend::system::kept_in;
use crate::domain::{JobId, LogBytes, PeakMemory, Timestamp};
use crate::ports::{
    Backend, BackendError, Clock, Ending, EngineFacts, FoundRun, How, ImageFacts, ImageRemoval, JobDirs, Progress,
    Pull, RunRef, RunSpec, RunState, SystemClock,
};

const STARTING: &str = "starting a run";

/// One run of the fake engine.
struct Run {
    instance: &'static str,
    script: String,
    dirs: JobDirs,
    state: watch::Sender<State>,
    starts: u32,
    is_paused: bool,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Created,
    Running,
    Ended(How),
}

/// The engine, which outlives the adapters that speak to it, as a real one outlives the daemon.
#[derive(Default)]
pub struct FakeEngine {
    /// What it has of images.
    pub images: FakeImages,
    runs: Mutex<HashMap<RunRef, Run>>,
    is_silent: AtomicBool,
    deaf_to: Mutex<&'static str>,
    unheard: AtomicU32,
    limits_are_advisory: AtomicBool,
    files_are_anothers: AtomicBool,
    hides_files: AtomicBool,
    graces: Mutex<Vec<Duration>>,
    boot_id: Mutex<String>,
}

/// An adapter to a [`FakeEngine`].
pub struct FakeBackend {
    engine: Arc<FakeEngine>,
    instance: &'static str,
}

impl FakeEngine {
    /// From now on the engine answers nothing, or again.
    pub fn set_silent(&self, is_silent: bool) {
        self.is_silent.store(is_silent, Ordering::SeqCst);
    }

    /// From now on the engine does not answer one kind of request, named as in its errors ("starting a run"); `""`: it answers all.
    pub fn be_deaf_to(&self, doing: &'static str) {
        *self.deaf_to.lock().unwrap_or_else(PoisonError::into_inner) = doing;
    }

    /// How many requests it did not answer.
    pub fn unheard(&self) -> u32 {
        self.unheard.load(Ordering::SeqCst)
    }

    /// From now on limits are only asked for.
    pub fn make_limits_advisory(&self) {
        self.limits_are_advisory.store(true, Ordering::SeqCst);
    }

    /// From now on files are removed only with the image of their job there, as where a helper of it is needed.
    pub fn give_files_away(&self) {
        self.files_are_anothers.store(true, Ordering::SeqCst);
    }

    /// As where a helper of an image is needed for files, and no other one does.
    fn needs_image(&self, image: Option<&str>) -> Result<(), BackendError> {
        match image.filter(|image| self.images.find(image).is_none()) {
            Some(image) => {
                let why = "it is not there".to_owned();
                Err(BackendError::Image { image: image.to_owned(), why, is_transient: false })
            }
            None => Ok(()),
        }
    }

    /// From now on what a run writes is seen only once it is taken back.
    pub fn hide_files(&self) {
        self.hides_files.store(true, Ordering::SeqCst);
    }

    /// The host was started anew: nothing runs any more, what is left says it ended with 0.
    pub fn reboot(&self, boot_id: &str) {
        boot_id.clone_into(&mut self.boot_id.lock().unwrap_or_else(PoisonError::into_inner));
        for run in self.runs().values() {
            run.state.send_if_modified(|state| {
                let ran = *state == State::Running;
                if ran {
                    *state = State::Ended(How::Exited(0));
                }
                ran
            });
        }
    }

    /// Every run that is running ends by itself, now, with this exit code.
    pub fn end_by_itself(&self, code: i32) {
        for run in self.runs().values_mut().filter(|run| *run.state.borrow() == State::Running) {
            run.ended_at = Some(SystemClock.now());
            run.state.send_replace(State::Ended(How::Exited(code)));
        }
    }

    /// How often any run was started in all, and the most that one was.
    pub fn starts(&self) -> (u32, u32) {
        let runs = self.runs();
        (runs.values().map(|run| run.starts).sum(), runs.values().map(|run| run.starts).max().unwrap_or(0))
    }

    /// How long the runs that were to be stopped had to end, in the order of the requests.
    pub fn graces(&self) -> Vec<Duration> {
        self.graces.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many runs are halted.
    pub fn paused(&self) -> usize {
        self.runs().values().filter(|run| run.is_paused && *run.state.borrow() == State::Running).count()
    }

    /// How many runs are running, halted or not.
    pub fn running(&self) -> usize {
        self.runs().values().filter(|run| *run.state.borrow() == State::Running).count()
    }

    /// How many runs the engine has.
    pub fn len(&self) -> usize {
        self.runs().len()
    }

    /// Whether the engine has no run.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Plays `script` for a run, if it runs still. What comes after a sleep is played by a thread: no daemon is needed.
    fn play(self: &Arc<Self>, reference: RunRef, script: &str) -> io::Result<()> {
        let mut runs = self.runs();
        let Some(run) = runs.get_mut(&reference).filter(|run| *run.state.borrow() == State::Running) else {
            return Ok(());
        };
        match play(script, &run.dirs, &reference)? {
            Played::Ends(how) => {
                run.ended_at = Some(SystemClock.now());
                run.state.send_replace(State::Ended(how));
            }
            Played::Hangs => {}
            Played::Sleeps(time, rest) => {
                let engine = Arc::clone(self);
                thread::Builder::new().name("fake run".to_owned()).spawn(move || {
                    thread::sleep(time);
                    engine.play(reference, &rest)
                })?;
            }
        }
        Ok(())
    }

    fn runs(&self) -> std::sync::MutexGuard<'_, HashMap<RunRef, Run>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_paused(&self, run: &RunRef, is_paused: bool) {
        if let Some(run) = self.runs().get_mut(run) {
            run.is_paused = is_paused && *run.state.borrow() == State::Running;
        }
    }

    fn answer(&self, doing: &'static str) -> Result<(), BackendError> {
        let is_deaf = *self.deaf_to.lock().unwrap_or_else(PoisonError::into_inner) == doing;
        if is_deaf || self.is_silent.load(Ordering::SeqCst) {
            self.unheard.fetch_add(1, Ordering::SeqCst);
            return Err(BackendError::Unreachable { backend: "fake", doing, why: "it is silent".to_owned() });
        }
        Ok(())
    }
}

impl FakeBackend {
    /// An adapter to `engine`.
    #[must_use]
    pub const fn new(engine: Arc<FakeEngine>) -> Self {
        Self { engine, instance: "" }
    }

    /// The same for another instance, whose runs are others.
    #[must_use]
    pub fn of_instance(self, instance: &'static str) -> Self {
        Self { instance, ..self }
    }

    fn state(&self, run: &RunRef) -> Option<watch::Receiver<State>> {
        self.engine.runs().get(run).map(|run| run.state.subscribe())
    }
}

#[async_trait]
impl Backend for FakeBackend {
    fn kind(&self) -> &'static str {
        "fake"
    }

    fn advisory_limits(&self) -> Option<String> {
        let is_so = self.engine.limits_are_advisory.load(Ordering::SeqCst);
        is_so.then(|| "the fake engine cannot limit memory & processes".to_owned())
    }

    fn shares_files(&self) -> bool {
        !self.engine.hides_files.load(Ordering::SeqCst)
    }

    async fn probe(&self) -> Result<EngineFacts, BackendError> {
        self.engine.answer("looking for it")?;
        let boot_id = self.engine.boot_id.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(EngineFacts { description: "fake".to_owned(), boot_id: Some(boot_id), engine_start: None })
    }

    async fn find_runs(&self) -> Result<Vec<FoundRun>, BackendError> {
        self.engine.answer("listing runs")?;
        let found = |(run, is): (&RunRef, &Run)| FoundRun {
            run: *run,
            state: match *is.state.borrow() {
                State::Created => RunState::Created,
                State::Running => RunState::Running,
                State::Ended(_) => RunState::Ended,
            },
        };
        Ok(self.engine.runs().iter().filter(|(_, is)| is.instance == self.instance).map(found).collect())
    }

    async fn fetch_image(&self, image: &str, pull: Pull, progress: Progress<'_>) -> Result<ImageFacts, BackendError> {
        self.engine.answer("fetching an image")?;
        self.engine.images.fetch(image, pull, progress).await
    }

    async fn find_image(&self, name: &str) -> Result<Option<String>, BackendError> {
        self.engine.answer("looking for an image").map(|()| self.engine.images.find(name))
    }

    async fn remove_image(&self, name: &str, id: &str) -> Result<ImageRemoval, BackendError> {
        self.engine.answer("removing an image").map(|()| self.engine.images.remove(name, id))
    }

    async fn hand_over(&self, _: &RunSpec) -> Result<(), BackendError> {
        self.engine.answer("handing over")
    }

    async fn create(&self, spec: &RunSpec) -> Result<(), BackendError> {
        self.engine.answer("creating a run")?;
        let script = expanded(spec.argv.last().map_or("", String::as_str), &spec.env);
        let (instance, dirs, state) = (self.instance, spec.dirs.clone(), watch::channel(State::Created).0);
        let new =
            || Run { instance, script, dirs, state, starts: 0, is_paused: false, started_at: None, ended_at: None };
        self.engine.runs().entry(spec.run).or_insert_with(new);
        Ok(())
    }

    async fn start(&self, spec: &RunSpec) -> Result<(), BackendError> {
        self.engine.answer(STARTING)?;
        let mut runs = self.engine.runs();
        let Some(run) = runs.get_mut(&spec.run) else {
            let why = "no such run".to_owned();
            return Err(BackendError::Refused { backend: "fake", doing: STARTING, why });
        };
        if *run.state.borrow() != State::Created {
            return Ok(());
        }
        run.starts += 1;
        run.started_at = Some(SystemClock.now());
        run.state.send_replace(State::Running);
        let script = run.script.clone();
        drop(runs);
        let played = self.engine.play(spec.run, &script);
        played.map_err(|source| BackendError::Io { doing: "playing a script", source })
    }

    async fn wait(&self, run: &RunRef, dirs: &JobDirs) -> Result<Ending, BackendError> {
        let how = match self.state(run) {
            None => How::Vanished,
            Some(mut state) => match state.wait_for(|state| matches!(state, State::Ended(_))).await.as_deref() {
                Ok(State::Ended(how)) => how.clone(),
                Ok(_) | Err(_) => How::Vanished,
            },
        };
        let told = |run: &Run| (run.started_at, run.ended_at, run.script.contains("sampled"));
        let (started_at, ended_at, is_sampled) = self.engine.runs().get(run).map_or((None, None, false), told);
        let peak_memory = Some(PeakMemory { bytes: 1 << 20, is_sampled });
        let logs = Some(kept_in(&dirs.log(run)).map(|kept| LogBytes { written: kept, kept }));
        Ok(Ending { how, started_at, ended_at, peak_memory, logs, is_advisory: false, log_error: None, log_gap: None })
    }

    async fn pause(&self, run: &RunRef) -> Result<(), BackendError> {
        self.engine.answer("pausing a run")?;
        self.engine.set_paused(run, true);
        Ok(())
    }

    async fn resume(&self, run: &RunRef) -> Result<(), BackendError> {
        self.engine.answer("resuming a run")?;
        self.engine.set_paused(run, false);
        Ok(())
    }

    async fn layer_size(&self, run: &RunRef) -> Result<Option<u64>, BackendError> {
        self.engine.answer("measuring a run")?;
        let script = self.engine.runs().get(run).map(|run| run.script.clone());
        Ok(match script {
            Some(script) => Some(filled(&script).await),
            None => None,
        })
    }

    async fn stop(&self, run: &RunRef, grace: Duration) -> Result<(), BackendError> {
        self.engine.answer("stopping a run")?;
        self.engine.graces.lock().unwrap_or_else(PoisonError::into_inner).push(grace);
        let is_stubborn = self
            .engine
            .runs()
            .get(run)
            .is_some_and(|run| run.script.contains("stubborn") && *run.state.borrow() == State::Running);
        if is_stubborn {
            tokio::time::sleep(grace).await;
        }
        let mut runs = self.engine.runs();
        let Some(found) = runs.get(run) else { return Ok(()) };
        let state = found.state.borrow().clone();
        match state {
            State::Created => drop(runs.remove(run)),
            State::Running => {
                let how = stopped(&found.script, &found.dirs, run)
                    .map_err(|source| BackendError::Io { doing: "playing a script", source })?;
                drop(found.state.send_replace(State::Ended(how)));
            }
            State::Ended(_) => {}
        }
        Ok(())
    }

    /// Only with the run's image there, as where a helper of it is needed.
    async fn take_back(&self, spec: &RunSpec) -> Result<(), BackendError> {
        self.engine.answer("taking output back")?;
        self.engine.needs_image(Some(&spec.image))
    }

    async fn remove(&self, run: &RunRef) -> Result<(), BackendError> {
        self.engine.answer("removing a run")?;
        self.engine.runs().remove(run);
        Ok(())
    }

    async fn remove_files(&self, _: JobId, dirs: &JobDirs, image: Option<&str>) -> Result<(), BackendError> {
        if self.engine.files_are_anothers.load(Ordering::SeqCst) {
            self.engine.needs_image(image)?;
        }
        // Within one process a daemon that was dropped may still be making directories on a blocking thread.
        let mut result = std::fs::remove_dir_all(&dirs.root);
        while result.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::DirectoryNotEmpty) {
            tokio::time::sleep(Duration::from_millis(5)).await;
            result = std::fs::remove_dir_all(&dirs.root);
        }
        match result {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(BackendError::Io { doing: "removing the job's files", source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
