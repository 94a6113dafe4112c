use std::os::unix::fs::PermissionsExt;

use mailmesh_admin::Config;
use mailmesh_store::api_key;

use crate::world::{anywhere, base, build};

#[tokio::test]
async fn of_two_that_start_at_once_one_makes_the_first_key() {
    let base = base().await.unwrap();

    let (one, other) = tokio::join!(build(&base, anywhere()), build(&base, anywhere()));
    let made = [one.unwrap().first_key(), other.unwrap().first_key()];
    let third = build(&base, anywhere()).await.unwrap();

    assert_eq!(made.iter().flatten().count(), 1);
    assert!(third.first_key().is_none());
    let mut tx = base.begin().await.unwrap();
    assert_eq!(api_key::list(&mut tx).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_first_key_is_written_for_its_owner_alone() {
    let base = base().await.unwrap();
    let file = std::env::temp_dir().join(format!("mailmesh-first-key-{}", std::process::id()));
    std::fs::write(&file, "left over").unwrap();
    let config = Config {
        first_key_file: Some(file.clone()),
        ..anywhere()
    };

    let service = build(&base, config).await.unwrap();

    let written = std::fs::read_to_string(&file).unwrap();
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    std::fs::remove_file(&file).unwrap();
    assert!(service.first_key().is_none(), "it is shown nowhere else");
    assert!(written.starts_with("mm_"));
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_key_that_cannot_be_written_is_not_made() {
    let base = base().await.unwrap();
    let config = Config {
        first_key_file: Some("/nonexistent/first-key".into()),
        ..anywhere()
    };

    let failed = build(&base, config).await.unwrap_err();

    assert!(format!("{failed:#}").contains("admin.first_key_file"));
    let mut tx = base.begin().await.unwrap();
    assert!(api_key::list(&mut tx).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_port_in_use_names_the_setting() {
    let base = base().await.unwrap();
    let first = build(&base, anywhere()).await.unwrap();
    let config = Config {
        listen: first.address(),
        ..anywhere()
    };

    let failed = build(&base, config).await.unwrap_err();

    assert!(format!("{failed:#}").contains("admin.listen"), "{failed:#}");
}
