//! What a user may do to a path: by owner, group and mode of all that leads there. Access control lists may say otherwise, and
//! are not read.

use std::ffi::CString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, Gid, Group, Uid, User, eaccess, geteuid, getgid, getgrouplist, getgroups};

/// To read.
pub(super) const READ: u32 = 0o4;
/// To write.
pub(super) const WRITE: u32 = 0o2;
/// To pass through a directory.
pub(super) const ENTER: u32 = 0o1;

/// A user with all groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    /// The name, or the number where there is none.
    pub(super) name: String,
    pub(super) uid: u32,
    /// The primary group first.
    pub(super) gids: Vec<u32>,
    /// Whether permissions do not bind it, as they do not bind root outside of containers.
    pub(super) is_above: bool,
    /// Whether it is the one who looks: then the kernel can be asked.
    is_me: bool,
}

/// Why somebody may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Barrier {
    /// There is no such path.
    Missing,
    /// This stands in the way.
    Closed(PathBuf, Bits),
    /// The one who looks does not see it.
    Unseen(String),
}

/// Owner, group and mode of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bits {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
}

impl Bits {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let facts = std::fs::metadata(path)?;
        Ok(Self { uid: facts.uid(), gid: facts.gid(), mode: facts.mode() & 0o7777 })
    }
}

impl std::fmt::Display for Bits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{} {:04o}", user_name(self.uid), group_name(self.gid), self.mode)
    }
}

impl std::fmt::Display for Barrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("it is not there"),
            Self::Closed(path, bits) => write!(f, "{} is {bits}", path.display()),
            Self::Unseen(why) => write!(f, "it cannot be seen: {why}"),
        }
    }
}

impl Person {
    /// The user of this number, with the groups that the host knows.
    pub(super) fn of(uid: u32) -> Self {
        let is_me = geteuid().as_raw() == uid;
        let known = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let groups = known.as_ref().and_then(|user| {
            let name = CString::new(user.name.as_str()).ok()?;
            Some((user.gid, getgrouplist(&name, user.gid).ok()?))
        });
        let gids = match groups {
            // Those of this very process may be others than those in the files.
            _ if is_me => [getgid()].into_iter().chain(getgroups().unwrap_or_default()).collect(),
            Some((own, all)) => [own].into_iter().chain(all).collect::<Vec<Gid>>(),
            None => Vec::new(),
        };
        Self {
            name: known.map_or_else(|| uid.to_string(), |user| user.name),
            uid,
            gids: gids.into_iter().map(Gid::as_raw).collect(),
            is_above: uid == 0,
            is_me,
        }
    }

    /// A job's user, who is bound by permissions even as root: it has no capabilities.
    pub(super) fn in_a_job(uid: u32, gids: Vec<u32>) -> Self {
        Self { name: uid.to_string(), uid, gids, is_above: false, is_me: false }
    }

    /// Whether the mode lets this user do `wanted`.
    pub(super) fn is_let(&self, bits: Bits, wanted: u32) -> bool {
        let shift = match (bits.uid == self.uid, self.gids.contains(&bits.gid)) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        self.is_above || (bits.mode >> shift) & wanted == wanted
    }

    /// Whether this user may do `wanted` to `path`, and get there.
    pub(super) fn may(&self, path: &Path, wanted: u32) -> Result<(), Barrier> {
        let real = path.canonicalize().map_err(|error| unseen(&error))?;
        let own = Bits::of(&real).map_err(|error| unseen(&error))?;
        if self.is_me && eaccess(&real, flags(wanted)).is_ok() {
            return Ok(());
        }
        for above in real.ancestors().skip(1) {
            let bits = Bits::of(above).map_err(|error| unseen(&error))?;
            if !self.is_let(bits, ENTER) {
                return Err(Barrier::Closed(above.to_owned(), bits));
            }
        }
        if self.is_let(own, wanted) { Ok(()) } else { Err(Barrier::Closed(real, own)) }
    }
}

fn unseen(error: &io::Error) -> Barrier {
    match error.kind() {
        io::ErrorKind::NotFound => Barrier::Missing,
        _ => Barrier::Unseen(error.to_string()),
    }
}

fn flags(wanted: u32) -> AccessFlags {
    let each = [(READ, AccessFlags::R_OK), (WRITE, AccessFlags::W_OK), (ENTER, AccessFlags::X_OK)];
    each.into_iter().filter(|(bit, _)| wanted & bit != 0).map(|(_, flag)| flag).collect()
}

/// The name of a user, else the number.
pub(super) fn user_name(uid: u32) -> String {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

/// The name of a group, else the number.
pub(super) fn group_name(gid: u32) -> String {
    Group::from_gid(Gid::from_raw(gid)).ok().flatten().map_or_else(|| gid.to_string(), |group| group.name)
}

/// Whether the path is there.
///
/// # Errors
/// Why the one who looks cannot see that.
pub(super) fn is_there(path: &Path) -> Result<bool, String> {
    path.try_exists().map_err(|error| error.to_string())
}

/// The path itself, or the nearest directory above it that is there.
pub(super) fn existing(path: &Path) -> &Path {
    path.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, create_dir, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn of_owner_group_and_others_the_first_that_fits_counts() {
        let person = Person { gids: vec![20, 30], ..Person::in_a_job(10, Vec::new()) };
        for (uid, gid, mode, wanted, is_let) in [
            (10, 1, 0o600, READ | WRITE, true),
            (10, 20, 0o060, READ, false),
            (1, 30, 0o040, READ, true),
            (1, 30, 0o044, READ | WRITE, false),
            (1, 20, 0o007, READ, false),
            (1, 1, 0o005, READ | ENTER, true),
            (1, 1, 0o770, ENTER, false),
        ] {
            assert_eq!(person.is_let(Bits { uid, gid, mode }, wanted), is_let, "{uid}:{gid} {mode:o}");
        }
        let root = Person { is_above: true, ..person };
        assert!(root.is_let(Bits { uid: 1, gid: 1, mode: 0 }, READ));
    }

    #[test]
    fn a_closed_directory_on_the_way_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().canonicalize().expect("there");
        let (inner, file) = (dir.join("inner"), dir.join("inner/file"));
        create_dir(&inner).expect("made");
        write(&file, "").expect("written");
        set_permissions(&file, Permissions::from_mode(0o644)).expect("ours");
        let stranger = Person::in_a_job(987_654, vec![987_654]);
        let closed = |path: &Path| match stranger.may(path, READ) {
            Err(Barrier::Closed(at, _)) => Some(at),
            _ => None,
        };
        set_permissions(&dir, Permissions::from_mode(0o700)).expect("ours");
        assert_eq!(closed(&file), Some(dir.clone()));
        set_permissions(&dir, Permissions::from_mode(0o711)).expect("ours");
        set_permissions(&inner, Permissions::from_mode(0o700)).expect("ours");
        assert_eq!(closed(&file), Some(inner.clone()));
        set_permissions(&inner, Permissions::from_mode(0o711)).expect("ours");
        assert_eq!(stranger.may(&file, READ), Ok(()));
        assert_eq!(stranger.may(&dir.join("none"), READ), Err(Barrier::Missing));
        let me = Person::of(geteuid().as_raw());
        assert_eq!(me.may(&file, READ | WRITE), Ok(()));
    }
}
