use super::*;

#[test]
fn fault_happens_as_often_as_it_says() {
    let book = FaultBook::new();
    let mut rule = FaultRule::once("imap.fetch", Fault::Cut);
    rule.count = Some(2);
    rule.after = 1;
    book.add(rule).unwrap();

    let taken: Vec<bool> = (0..5)
        .map(|_| book.take("imap.fetch", None).is_some())
        .collect();

    assert_eq!(taken, [false, true, true, false, false]);
    assert!(book.is_empty());
    assert_eq!(book.list()[0].taken, 2);
}

#[test]
fn fault_for_one_address_spares_the_others() {
    let book = FaultBook::new();
    let mut rule = FaultRule::once("oauth.token", Fault::Cut);
    rule.address = Some("ann@sandbox.test".to_owned());
    book.add(rule).unwrap();

    assert_eq!(book.take("oauth.token", None), None);
    assert_eq!(book.take("oauth.token", Some("bob@sandbox.test")), None);
    assert_eq!(
        book.take("oauth.token", Some("Ann@sandbox.test")),
        Some(Fault::Cut)
    );
}

#[test]
fn unknown_point_is_refused() {
    let rule = FaultRule::once("imap.tea", Fault::Cut);
    assert!(FaultBook::new().add(rule).is_err());
}

fn stalling() -> (FaultBook, u64) {
    let book = FaultBook::new();
    let rule = FaultRule::once("imap.idle", Fault::Stall { seconds: None });
    let id = book.add(rule).unwrap();
    book.take("imap.idle", None).unwrap();
    (book, id)
}

#[tokio::test]
async fn endless_stall_ends_when_faults_are_cleared() {
    let (book, _) = stalling();
    let clearing = book.clone();

    tokio::join!(book.stall(None), async move { clearing.clear() });
}

#[tokio::test]
async fn endless_stall_ends_when_its_rule_is_removed() {
    let (book, id) = stalling();
    let removing = book.clone();

    let ((), is_removed) = tokio::join!(book.stall(None), async move { removing.remove(id) });

    assert!(is_removed);
}

#[tokio::test]
async fn stall_cleared_before_it_began_does_not_hang() {
    let (book, _) = stalling();
    book.clear();

    book.stall(None).await;
}
