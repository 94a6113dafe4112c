use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;

use mailmesh_embedded::{DataFolder, EmbeddedError};

use crate::scratch::Scratch;

const SOMEBODY: u32 = 65_534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_folder_is_for_one_at_a_time() {
    let scratch = Scratch::new().unwrap();

    let first = DataFolder::open(scratch.path()).unwrap();
    let refused = DataFolder::open(scratch.path()).unwrap_err();
    drop(first);
    let after = DataFolder::open(scratch.path());

    assert!(
        matches!(refused, EmbeddedError::FolderInUse { .. }),
        "{refused}"
    );
    assert!(after.is_ok(), "{after:?}");
}

#[test]
fn a_folder_of_another_user_is_refused_and_left_alone() {
    let scratch = Scratch::new().unwrap();
    // Root may write into any folder, so one is given away; others are stopped by root's.
    let folder = if is_root() {
        chown(scratch.path(), Some(SOMEBODY), None).unwrap();
        scratch.path().to_owned()
    } else {
        PathBuf::from("/usr")
    };

    let error = DataFolder::open(&folder).unwrap_err();

    assert!(matches!(error, EmbeddedError::NotOurs { .. }), "{error}");
    assert!(
        error.to_string().contains(folder.to_str().unwrap()),
        "{error}"
    );
    assert!(!folder.join("mailmesh.lock").exists());
}

#[test]
fn a_folder_that_another_user_has_used_is_refused() {
    let scratch = Scratch::new().unwrap();
    drop(DataFolder::open(scratch.path()).unwrap());
    assert!(DataFolder::open(scratch.path()).is_ok());
    if !is_root() {
        // Only root can make it look so; that it is ours is shown above.
        return;
    }
    chown(scratch.path().join("mailmesh.lock"), Some(SOMEBODY), None).unwrap();

    let error = DataFolder::open(scratch.path()).unwrap_err();

    assert!(matches!(error, EmbeddedError::NotOurs { .. }), "{error}");
}

#[test]
fn a_folder_is_closed_to_others_also_one_that_was_open() {
    let scratch = Scratch::new().unwrap();
    for name in ["new", "open"] {
        let path = scratch.path().join(name);
        if name == "open" {
            std::fs::create_dir(&path).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        }

        let _folder = DataFolder::open(&path).unwrap();

        let mode = std::fs::metadata(&path).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o700, "{name}");
    }
}
