//! `mounts` and `secrets` of a service.

use std::path::{Component, Path, PathBuf};

use super::super::reader::Reader;
use super::service::{VARIABLE_NAME, is_variable_name};
use crate::ports::{Mount, MountKind, Secret};

const TARGET: &str = "give an absolute path outside /uws, without \"..\"";

/// The word of `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Bind,
    Volume,
    Tmpfs,
}

/// Reads the mounts of a service.
pub(super) fn mounts(r: &mut Reader, path: &str) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::new();
    for n in 0..r.rows(path) {
        let at = |leaf: &str| format!("{path}[{n}].{leaf}");
        let kind = kind(r, &at);
        let target = r.checked(&at("target"), TARGET, target);
        let is_read_only = r.switch(&at("read_only"));
        let (Some(kind), Some(target)) = (kind, target) else { continue };
        if mounts.iter().any(|other| other.target == target) {
            r.refuse(&at("target"), "another mount is there: give each target once");
        }
        let is_read_only = match kind {
            MountKind::Bind { .. } | MountKind::Volume { .. } => is_read_only,
            MountKind::Tmpfs { .. } => false,
        };
        mounts.push(Mount { kind, target, is_read_only });
    }
    mounts
}

fn kind(r: &mut Reader, at: &impl Fn(&str) -> String) -> Option<MountKind> {
    let word = r.word(&at("type"), &[("bind", Type::Bind), ("volume", Type::Volume), ("tmpfs", Type::Tmpfs)]);
    let source = r.text(&at("source"));
    let sub_path = r.text(&at("sub_path"));
    let size = r.size(&at("size"));
    if word != Type::Tmpfs && size != 0 {
        r.refuse(&at("size"), "only a tmpfs has a size: leave it out");
    }
    if word != Type::Volume && !sub_path.is_empty() {
        r.refuse(&at("sub_path"), "only a volume has one: leave it out, or add it to source");
    }
    if source.contains("{owner}") {
        r.refuse(&at("source"), "{owner} needs callers with names, which are not in this build: give a fixed path");
        return None;
    }
    match word {
        Type::Tmpfs => {
            if !source.is_empty() {
                r.refuse(&at("source"), "a tmpfs has none: leave it out");
            }
            Some(MountKind::Tmpfs { size })
        }
        Type::Volume => {
            let is_name = source.starts_with(|c: char| c.is_ascii_alphanumeric())
                && source.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
            let is_below = Path::new(&sub_path).components().all(|part| matches!(part, Component::Normal(_)));
            if !is_name {
                r.refuse(&at("source"), "give the name of a volume");
            }
            if !is_below {
                r.refuse(&at("sub_path"), "give a relative path without \"..\"");
            }
            (is_name && is_below).then_some(MountKind::Volume { source, sub_path })
        }
        Type::Bind => {
            let source_path = PathBuf::from(&source);
            if !is_absolute_plain(&source_path) {
                r.refuse(&at("source"), "give an absolute path without \"..\"");
                return None;
            }
            Some(MountKind::Bind { source: source_path })
        }
    }
}

/// Reads the secrets of a service; what they lie over must not be a mount's target.
pub(super) fn secrets(r: &mut Reader, path: &str, mounts: &[Mount]) -> Vec<Secret> {
    let mut secrets: Vec<Secret> = Vec::new();
    for n in 0..r.rows(path) {
        let at = |leaf: &str| format!("{path}[{n}].{leaf}");
        let name = r.checked(&at("name"), VARIABLE_NAME, |name| {
            (is_variable_name(name) && !name.starts_with("JOB_")).then(|| name.to_owned())
        });
        let file = r.path(&at("file"));
        if file.is_none() && !r.is_refused(&at("file")) {
            r.refuse(&at("file"), "give an absolute path");
        }
        let target = r.checked(&at("target"), TARGET, target);
        let (Some(name), Some(file), Some(target)) = (name, file, target) else { continue };
        let is_taken =
            secrets.iter().any(|other| other.target == target) || mounts.iter().any(|mount| mount.target == target);
        if is_taken {
            r.refuse(&at("target"), "a mount or another secret is there: give each target once");
        }
        if secrets.iter().any(|other| other.name == name) {
            r.refuse(&at("name"), "another secret has it: give each name once");
        }
        // The host may get it later, from a secret store for instance; a job that starts before fails by name.
        if !file.exists() {
            r.warn(format!("{} is {}, which does not exist or cannot be seen", at("file"), file.display()));
        }
        secrets.push(Secret { name, file, target });
    }
    secrets
}

fn target(text: &str) -> Option<String> {
    let path = Path::new(text);
    let is_target = is_absolute_plain(path) && !path.starts_with("/uws") && path != Path::new("/");
    // One form for one place, so that two ways to write it are seen to be the same.
    is_target.then(|| path.components().collect::<PathBuf>().to_string_lossy().into_owned())
}

fn is_absolute_plain(path: &Path) -> bool {
    path.is_absolute() && !path.components().any(|part| matches!(part, Component::ParentDir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_absolute_and_outside_the_jobs_own_directories() {
        assert_eq!(target("/data/").as_deref(), Some("/data"));
        assert_eq!(target("/uwsx").as_deref(), Some("/uwsx"));
        assert!(["", "data", "/", "/uws", "/uws/jobs", "//uws/x", "/a/../uws"].iter().all(|bad| target(bad).is_none()));
    }
}
