use super::error::ImapError;
use super::folder::SelectMode;
use super::listed_folder::{ListedFolder, SpecialUse};
use super::session::Session;

/// Sent folders of servers without SPECIAL-USE (RFC 6154), as Exchange Online.
const USUAL_NAMES: [&str; 3] = ["Sent", "Sent Items", "INBOX.Sent"];

impl Session {
    /// Opens the folder of sent mail for reading; returns its UIDVALIDITY, or none if there is no such folder.
    pub(super) async fn select_sent(&mut self) -> Result<Option<u64>, ImapError> {
        // As after every opening, the folder that was open is closed, also if there is no sent folder.
        self.folder = None;
        let folders = self.list_folders().await?;
        let Some(folder) = find_sent(&folders) else {
            return Ok(None);
        };
        let opened = self.select(&folder.name, SelectMode::ReadOnly).await?;
        Ok(Some(opened.uid_validity))
    }
}

fn find_sent(folders: &[ListedFolder]) -> Option<&ListedFolder> {
    let is_usual = |folder: &&ListedFolder| {
        let mut usual = USUAL_NAMES.iter();
        usual.any(|name| name.eq_ignore_ascii_case(&folder.name))
    };
    let selectable = || folders.iter().filter(|folder| folder.is_selectable);
    selectable()
        .find(|folder| folder.special_use == Some(SpecialUse::Sent))
        .or_else(|| selectable().find(is_usual))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str, special_use: Option<SpecialUse>, is_selectable: bool) -> ListedFolder {
        ListedFolder {
            name: name.to_owned(),
            delimiter: Some('/'),
            special_use,
            is_selectable,
        }
    }

    #[test]
    fn sent_mail_lies_where_the_server_says_and_else_under_a_usual_name() {
        let folders = [
            folder("INBOX", None, true),
            folder("sent items", None, true),
            folder("Gesendet", Some(SpecialUse::Sent), true),
        ];

        let by_use = find_sent(&folders).map(|found| found.name.as_str());
        let by_name = find_sent(&folders[..2]).map(|found| found.name.as_str());

        assert_eq!((by_use, by_name), (Some("Gesendet"), Some("sent items")));
        assert_eq!(find_sent(&folders[..1]), None);
        assert_eq!(find_sent(&[folder("Sent", None, false)]), None);
    }
}
