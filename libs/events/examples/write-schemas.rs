//! Writes `schemas/` anew from the Rust types: `cargo run -p mailmesh-events --example write-schemas`.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    for (name, content) in mailmesh_events::schema::files()? {
        std::fs::write(folder.join(name), content)?;
    }
    Ok(())
}
