use mailmesh_events::mail::SendMail;
use mailmesh_events::{AddressInput, MailAddress, Recipients};
use mailmesh_mail::message::{AddressProblem, FieldProblem, NamedAddress};

use super::refusal::Refusal;

/// Replaces all text that names addresses by the addresses that it names, or refuses the command: nothing of a text is left
/// out. A repeated request is then the same whether it gives its recipients as text or as objects.
pub(crate) fn read_addresses(command: &mut SendMail, limit: usize) -> Result<(), Refusal> {
    if let Some(from) = command.from.take() {
        command.from = Some(read_author(from)?);
    }
    let lists = [
        ("reply_to", &mut command.reply_to),
        ("to", &mut command.to),
        ("cc", &mut command.cc),
        ("bcc", &mut command.bcc),
    ];
    for (path, list) in lists {
        let given = std::mem::take(list);
        *list = read_list(path, given, limit)?;
    }
    Ok(())
}

fn read_author(given: AddressInput) -> Result<AddressInput, Refusal> {
    match given {
        AddressInput::Text(text) => {
            let author =
                NamedAddress::parse(&text).map_err(|problem| unreadable("from", problem))?;
            Ok(object(author))
        }
        AddressInput::Mailbox(author) => Ok(AddressInput::Mailbox(author)),
    }
}

/// The path counts what was given, not what a text names.
fn read_list(path: &str, given: Recipients, limit: usize) -> Result<Recipients, Refusal> {
    let mut read = Vec::with_capacity(given.0.len().min(limit));
    for (index, entry) in given.0.into_iter().enumerate() {
        match entry {
            AddressInput::Text(text) => {
                let named = NamedAddress::parse_list(&text)
                    .map_err(|problem| unreadable(&format!("{path}[{index}]"), problem))?;
                read.extend(named.into_iter().map(object));
            }
            AddressInput::Mailbox(one) => {
                mailbox(one.clone()).check(&format!("{path}[{index}]"))?;
                read.push(AddressInput::Mailbox(one));
            }
        }
        if read.len() > limit {
            let problem = FieldProblem::TooMany { limit };
            return Err(Refusal::new(path, problem.to_string()));
        }
    }
    Ok(Recipients(read))
}

fn unreadable(path: &str, problem: AddressProblem) -> Refusal {
    Refusal::new(path, problem.to_string())
}

fn object(mailbox: NamedAddress) -> AddressInput {
    AddressInput::Mailbox(MailAddress {
        name: mailbox.name,
        address: mailbox.address,
    })
}

pub(super) fn mailbox(address: MailAddress) -> NamedAddress {
    NamedAddress {
        name: address.name,
        address: address.address,
    }
}

#[cfg(test)]
mod tests;
