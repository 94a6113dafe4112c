use super::error::MailStoreError;
use super::folder::Folder;

/// Returns the folder of that name; INBOX in any case.
pub(crate) fn find_folder<'a>(folders: &'a [Folder], name: &str) -> Option<&'a Folder> {
    folders
        .iter()
        .find(|folder| is_same_name(&folder.name, name))
}

/// Returns the folder of that name for a change; INBOX in any case.
pub(crate) fn find_folder_mut<'a>(folders: &'a mut [Folder], name: &str) -> Option<&'a mut Folder> {
    folders
        .iter_mut()
        .find(|folder| is_same_name(&folder.name, name))
}

fn is_same_name(folder: &str, name: &str) -> bool {
    folder == name || (folder == "INBOX" && name.eq_ignore_ascii_case("INBOX"))
}

/// Adds an empty folder.
pub(crate) fn create_folder(
    folders: &mut Vec<Folder>,
    name: &str,
    uid_validity: u32,
) -> Result<(), MailStoreError> {
    let name = name.trim_end_matches('/');
    if find_folder(folders, name).is_some() {
        return Err(MailStoreError::AlreadyExists);
    }
    folders.push(Folder::new(name, None, uid_validity));
    Ok(())
}

/// Renames a folder and what lies below it; mails, UIDs and UIDVALIDITY stay, as with most servers.
pub(crate) fn rename_folder(
    folders: &mut [Folder],
    name: &str,
    new_name: &str,
) -> Result<(), MailStoreError> {
    refuse_inbox(name)?;
    if find_folder(folders, new_name).is_some() {
        return Err(MailStoreError::AlreadyExists);
    }
    let folder = find_folder_mut(folders, name).ok_or(MailStoreError::UnknownFolder)?;
    new_name.clone_into(&mut folder.name);
    let above = format!("{name}/");
    for folder in folders {
        if let Some(rest) = folder.name.strip_prefix(&above) {
            folder.name = format!("{new_name}/{rest}");
        }
    }
    Ok(())
}

/// Removes a folder with its mails; folders below it stay (RFC 3501 6.3.4).
pub(crate) fn delete_folder(folders: &mut Vec<Folder>, name: &str) -> Result<(), MailStoreError> {
    refuse_inbox(name)?;
    let before = folders.len();
    folders.retain(|folder| folder.name != name);
    if folders.len() == before {
        return Err(MailStoreError::UnknownFolder);
    }
    Ok(())
}

fn refuse_inbox(name: &str) -> Result<(), MailStoreError> {
    if is_same_name("INBOX", name) {
        return Err(MailStoreError::Inbox);
    }
    Ok(())
}
