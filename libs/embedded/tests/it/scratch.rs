use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use mailmesh_embedded::{Cache, Locator};

/// A folder that is removed at the end of the test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> std::io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("mailmesh-embedded-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a program that prints a version.
    pub(crate) fn program(&self, name: &str, prints: &str) -> std::io::Result<PathBuf> {
        self.script(name, &format!("echo '{prints}'"))
    }

    /// Writes a program that does this.
    pub(crate) fn script(&self, name: &str, does: &str) -> std::io::Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{does}\n"))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left lies in the temporary folder.
        std::fs::remove_dir_all(&self.0).ok();
    }
}

pub(crate) fn locator() -> Locator {
    Locator::new(Cache::of_user())
}
