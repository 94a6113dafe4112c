//! What an inbound account does with its folders.

use mailmesh_domain::{AfterReceive, Protocol};
use mailmesh_store::account::Account;

use super::input::AccountInput;
use crate::field::{Faults, Field};

const LEAST_POLL_SECONDS: i64 = 5;
const MOST_POLL_SECONDS: i64 = 86_400;
const MOST_FOLDERS: usize = 100;
const MOST_DAYS: i64 = 3_650;

pub(super) struct WatchSettings {
    pub(super) folders: Vec<String>,
    pub(super) receive_existing: bool,
    pub(super) poll_interval_seconds: u32,
    pub(super) after_receive: AfterReceive,
    pub(super) delete_after_days: Option<u32>,
    pub(super) move_to: Option<String>,
}

/// Merges the input with the stored account and the defaults.
pub(super) fn merge(
    input: AccountInput,
    protocol: Protocol,
    current: Option<&Account>,
    faults: &mut Faults,
) -> WatchSettings {
    let folders = input.folders.over(current.map(|a| a.folders.clone()));
    let folders = folders.unwrap_or_else(|| vec!["INBOX".to_owned()]);
    check_folders(&folders, protocol, faults);
    let existing = input
        .receive_existing
        .over(current.map(|a| a.receive_existing));
    let poll = current.map(|a| i64::from(a.poll_interval_seconds));
    let poll = input.poll_interval_seconds.over(poll).unwrap_or(60);
    let after_receive = input.after_receive.over(current.map(|a| a.after_receive));
    let after_receive = after_receive.unwrap_or(AfterReceive::Keep);
    let possible = protocol.post_actions();
    if !possible.contains(&after_receive) {
        let possible: Vec<_> = possible.iter().map(|action| action.as_str()).collect();
        let what = format!("must be {} for protocol {protocol}", possible.join(" or "));
        faults.add("after_receive", what);
    }
    let days = merge_days(input.delete_after_days, after_receive, current, faults);
    let is_move_to_given = input.move_to.is_given();
    let move_to = input.move_to.over(current.and_then(|a| a.move_to.clone()));
    match (after_receive, &move_to) {
        (AfterReceive::Move, None) => {
            faults.add(
                "move_to",
                "is required for after_receive move: the folder's name",
            );
        }
        (AfterReceive::Move, Some(folder)) if folders.contains(folder) => {
            faults.add("move_to", "must not be one of the watched folders");
        }
        (AfterReceive::Move, Some(folder)) => faults.text("move_to", folder, 1000),
        (_, Some(_)) if is_move_to_given => {
            faults.add("move_to", "is only for after_receive move");
        }
        _ => {}
    }
    WatchSettings {
        folders,
        receive_existing: existing.unwrap_or(true),
        poll_interval_seconds: faults.number(
            "poll_interval_seconds",
            poll,
            LEAST_POLL_SECONDS,
            MOST_POLL_SECONDS,
        ),
        delete_after_days: days,
        move_to: move_to.filter(|_| after_receive == AfterReceive::Move),
        after_receive,
    }
}

/// Refuses all of it for an account that sends, and returns what then stands in its row.
pub(super) fn refuse(input: &AccountInput, faults: &mut Faults) -> WatchSettings {
    let given = [
        ("folders", input.folders.is_given()),
        ("receive_existing", input.receive_existing.is_given()),
        (
            "poll_interval_seconds",
            input.poll_interval_seconds.is_given(),
        ),
        ("after_receive", input.after_receive.is_given()),
        ("delete_after_days", input.delete_after_days.is_given()),
        ("move_to", input.move_to.is_given()),
    ];
    for (path, is_given) in given {
        if is_given {
            faults.add(path, "is only for accounts that receive");
        }
    }
    WatchSettings {
        folders: Vec::new(),
        receive_existing: true,
        poll_interval_seconds: 60,
        after_receive: AfterReceive::Keep,
        delete_after_days: None,
        move_to: None,
    }
}

fn merge_days(
    given: Field<i64>,
    after_receive: AfterReceive,
    current: Option<&Account>,
    faults: &mut Faults,
) -> Option<u32> {
    let is_given = given.is_given();
    let kept = current.and_then(|account| account.delete_after_days);
    let days = given.over(kept.map(i64::from))?;
    if after_receive != AfterReceive::Delete {
        if is_given {
            faults.add("delete_after_days", "is only for after_receive delete");
        }
        return None;
    }
    Some(faults.number("delete_after_days", days, 1, MOST_DAYS))
}

fn check_folders(folders: &[String], protocol: Protocol, faults: &mut Faults) {
    if !protocol.has_folders() && *folders != ["INBOX"] {
        let what = format!("must be INBOX alone: {protocol} shows no other");
        faults.add("folders", what);
        return;
    }
    if folders.is_empty() || folders.len() > MOST_FOLDERS {
        faults.add("folders", format!("must hold 1 to {MOST_FOLDERS} folders"));
        return;
    }
    for (index, folder) in folders.iter().enumerate() {
        let path = format!("folders[{index}]");
        faults.text(&path, folder, 1000);
        if folders.iter().take(index).any(|other| other == folder) {
            faults.add(path, "is named twice");
        }
    }
}
