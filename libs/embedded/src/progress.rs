/// Hears what a long step is doing, one short line at a time.
pub trait Progress: Send + Sync {
    /// Tells the next line.
    fn step(&self, line: &str);
}

impl<F: Fn(&str) + Send + Sync> Progress for F {
    fn step(&self, line: &str) {
        self(line);
    }
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _line: &str) {}
}

/// Writes each line to the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogProgress;

impl Progress for LogProgress {
    fn step(&self, line: &str) {
        tracing::info!("{line}");
    }
}
