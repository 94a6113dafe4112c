use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::tidy::process_folder;

/// A folder that is removed when dropped; what a killed process leaves is removed by a later run.
#[derive(Debug)]
pub struct TestFolder {
    path: PathBuf,
}

impl TestFolder {
    /// Makes an empty folder.
    ///
    /// # Errors
    ///
    /// Fails when the temporary folder cannot be written.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = process_folder()?.join(format!("{name}-{number}"));
        std::fs::create_dir_all(&path)?;
        Ok(Self { path })
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        // As root, Postgres's files lie elsewhere, behind a link in the data folder.
        let behind = std::fs::read_link(self.path.join("postgres")).ok();
        for folder in behind.iter().chain([&self.path]) {
            // It may be gone already, and a test's result must not depend on it.
            std::fs::remove_dir_all(folder).ok();
        }
        if let Some(parent) = self.path.parent() {
            // Succeeds for the last one.
            std::fs::remove_dir(parent).ok();
        }
    }
}
