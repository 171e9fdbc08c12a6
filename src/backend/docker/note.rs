//! A note of the engine and the instance, for who removes the package: program and configuration are gone by then, and the
//! containers of jobs still have to be found.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::spec::Instance;

/// Writes `{state_dir}/engine`: a line with the engine's address, one with the instance. Left alone if it says so already.
///
/// # Errors
/// The system's, which is no reason not to start.
pub fn note_engine(state_dir: &Path, host: &str, instance: &Instance) -> io::Result<()> {
    let text = format!("{host}\n{}\n", instance.0);
    let path = state_dir.join("engine");
    if fs::read_to_string(&path).is_ok_and(|noted| noted == text) {
        return Ok(());
    }
    // Renamed when it is whole, so that nobody ever reads half of it.
    let new = state_dir.join("engine.new");
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_follows_the_engine_and_is_not_written_without_need() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("engine");
        let note = |host: &str| note_engine(dir.path(), host, &Instance("7f".to_owned())).expect("written");
        note("unix:///run/a.sock");
        note("unix:///run/b.sock");
        assert_eq!(fs::read_to_string(&path).expect("there"), "unix:///run/b.sock\n7f\n");
        // Where nothing can be written, as on a full disk, the same note is no failure.
        fs::create_dir(dir.path().join("engine.new")).expect("in the way");
        note("unix:///run/b.sock");
        note_engine(dir.path(), "unix:///run/c.sock", &Instance("7f".to_owned())).expect_err("in the way");
        assert_eq!(fs::read_to_string(&path).expect("there"), "unix:///run/b.sock\n7f\n");
    }
}
