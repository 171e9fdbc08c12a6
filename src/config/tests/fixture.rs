//! A host with a configuration directory of its own.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::super::{Config, ConfigErrors, Host, LoadRequest, Loaded, load};

/// What the host of these tests has.
pub const HOST: Host = Host { cpus: 8.0, memory: 16 << 30 };

/// A request to load, being put together.
pub struct Site {
    directory: TempDir,
    pub request: LoadRequest,
}

/// A site without files and with a home directory only.
pub fn site() -> Site {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let request = LoadRequest {
        host: HOST,
        system_file: Some(directory.path().join("uwsd.toml")),
        ..LoadRequest::new([(OsString::from("HOME"), OsString::from("/home/ada"))])
    };
    Site { directory, request }
}

impl Site {
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// With a file beside the main file, which is `uwsd.toml`.
    pub fn file(self, name: &str, text: &str) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("below the directory")).expect("a directory");
        fs::write(path, text).expect("a file");
        self
    }

    pub fn main(self, text: &str) -> Self {
        self.file("uwsd.toml", text)
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.request.environment.push((name.into(), value.into()));
        self
    }

    pub fn load(&self) -> Result<Loaded, ConfigErrors> {
        load(&self.request)
    }

    pub fn loaded(&self) -> Loaded {
        self.load().unwrap_or_else(|errors| panic!("{errors}"))
    }

    pub fn config(&self) -> Config {
        self.loaded().config
    }

    /// The problems as printed, with the site's directory shortened to `DIR`.
    pub fn problems(&self) -> String {
        let errors = self.load().expect_err("something is wrong").to_string();
        errors.replace(&self.directory.path().display().to_string(), "DIR")
    }

    /// A key's value and origin as `uwsd check` prints them, the directory shortened to `DIR`.
    pub fn shown(&self, key: &str) -> String {
        let loaded = self.loaded();
        let entry = loaded.effective.iter().find(|entry| entry.key == key).unwrap_or_else(|| panic!("no {key}"));
        let line = format!("{}  # {}", entry.value, entry.origin);
        line.replace(&self.directory.path().display().to_string(), "DIR")
    }
}
