//! A lost key is replaced on the host.

use std::sync::Arc;

use mailmesh_domain::{Clock, Role, SystemClock};
use mailmesh_secrets::{ExposeSecret, sha256};
use mailmesh_store::api_key;
use mailmesh_testkit::MeshBase;
use time::Duration;

use crate::command::run;

#[tokio::test]
async fn a_key_is_made_with_the_database_alone_and_printed_alone() {
    let base = MeshBase::fresh(Arc::new(SystemClock)).await.unwrap();
    let url = base.address.postgres_url.expose_secret();
    let variables = [("MAILMESH_POSTGRES__URL", url)];

    let lasting = run(&["api-key", "create"], &variables).await;
    let viewer = [
        "api-key",
        "create",
        "--role",
        "viewer",
        "--name",
        "probe",
        "--valid-days",
        "2",
    ];
    let viewer = run(&viewer, &variables).await;
    let bad = run(&["api-key", "create", "--role", "owner"], &variables).await;

    assert_eq!(
        (lasting.code, viewer.code, bad.code),
        (Some(0), Some(0), Some(64))
    );
    let now = SystemClock.now();
    let mut tx = base.begin().await.unwrap();
    for (ended, role) in [(&lasting, Role::Administrator), (&viewer, Role::Viewer)] {
        let key = ended.output.trim();
        let hash = sha256(key.as_bytes());
        let found = api_key::find_by_hash(&mut tx, &hash, now)
            .await
            .unwrap()
            .unwrap();
        assert!(
            key.starts_with("mm_") && !key.contains(char::is_whitespace),
            "{key}"
        );
        assert_eq!((found.role, found.made_by), (role, None));
        let lasts = found.expires_at.map(|at| at - found.created_at);
        assert_eq!(lasts, (role == Role::Viewer).then_some(Duration::days(2)));
        assert_eq!(found.may_read_raw, role == Role::Administrator);
    }
}
