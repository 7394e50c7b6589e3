//! The choice of a credential: a drop-down, or, where there are many, its name with suggestions.

use consign_core::catalog::Invalid;
use serde_json::{Value, json};

use super::{field, with};

/// A drop-down with more is not a choice.
const DROP_DOWN_MAX: usize = 100;
/// What is said where a choice brings other fields.
pub(super) const CHANGES: &str = "The fields below change with your choice.";

/// A credential to choose, with its address for the preview.
#[derive(Clone)]
pub(in crate::console) struct Choice {
    pub(in crate::console) id: String,
    pub(in crate::console) name: String,
    /// The status that it has.
    pub(in crate::console) status: String,
    pub(in crate::console) address: String,
    /// It leads to a file server.
    pub(in crate::console) is_sftp: bool,
}

/// What another choice of a credential changes on its page, and where the page asks for that.
pub(super) enum Follows<'a> {
    /// Nothing.
    Nothing,
    /// The address that is shown.
    Preview(&'a Value),
    /// Other fields come.
    Fields(&'a Value),
}

impl Follows<'_> {
    fn refresh(&self) -> Option<&Value> {
        match *self {
            Self::Nothing => None,
            Self::Preview(refresh) | Self::Fields(refresh) => Some(refresh),
        }
    }
}

/// The credentials to choose from: all, or the first of many.
pub(in crate::console) struct Choices(pub(in crate::console) Vec<Choice>);

impl Choices {
    /// The one that is meant, by id or by name.
    pub(in crate::console) fn find(&self, reference: &str) -> Option<&Choice> {
        let name = reference.trim().to_lowercase();
        self.0.iter().find(|choice| choice.id == reference || choice.name.to_lowercase() == name)
    }

    /// Whether there are too many for a drop-down.
    pub(in crate::console) fn are_many(&self) -> bool {
        self.0.len() > DROP_DOWN_MAX
    }

    /// What a drop-down offers, or what is suggested: then a name is what is sent.
    pub(in crate::console) fn options(&self) -> Value {
        let many = self.are_many();
        let option = |choice: &Choice| {
            let value = if many { &choice.name } else { &choice.id };
            // Some browsers show the value of a suggestion, some its label: both name it.
            json!({ "value": value, "label": format!("{} · {}", choice.name, choice.status) })
        };
        self.0.iter().map(option).collect()
    }

    /// The field of a form. `asked` is what was chosen.
    pub(super) fn field(&self, asked: &str, invalid: &[Invalid], follows: &Follows<'_>) -> Value {
        let refresh = follows.refresh();
        let changes = matches!(follows, Follows::Fields(_));
        let chosen = self.find(asked);
        if !self.are_many() {
            let hint = if changes { CHANGES } else { "Shown with its status." };
            let id = chosen.map_or(asked, |chosen| chosen.id.as_str());
            let drop_down = field("credential", "Credential", hint, id, invalid);
            let choose =
                json!({ "options": self.options(), "choose": "Choose a credential", "refresh": refresh });
            return with(drop_down, choose);
        }
        let mut hint = match chosen {
            Some(chosen) => format!("Its name. {}.", chosen.status),
            None => "Its whole name. The first 500 are suggested.".to_owned(),
        };
        if changes {
            hint = format!("{hint} {CHANGES}");
        }
        let named = chosen.map_or(asked, |chosen| chosen.name.as_str());
        let text = field("credential", "Credential", &hint, named, invalid);
        with(text, json!({ "suggestions": self.options(), "refresh": refresh }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices(count: usize) -> Choices {
        let choice = |number| Choice {
            id: format!("crd_{number}"),
            name: format!("Tool {number}"),
            status: "Working".to_owned(),
            address: "https://tool.example/".to_owned(),
            is_sftp: false,
        };
        Choices((0..count).map(choice).collect())
    }

    #[test]
    fn few_are_a_drop_down_and_many_are_typed() {
        let few = choices(DROP_DOWN_MAX).field("crd_7", &[], &Follows::Nothing);
        assert_eq!(
            (&few["value"], &few["options"][7]["label"]),
            (&json!("crd_7"), &json!("Tool 7 · Working"))
        );
        let by_name = choices(2).field("tool 1", &[], &Follows::Nothing);
        assert_eq!(by_name["value"], "crd_1", "an address may name it");
        let many = choices(DROP_DOWN_MAX + 1);
        let shown = many.field("crd_7", &[], &Follows::Nothing);
        assert_eq!(
            (&shown["value"], &shown["suggestions"][7]["value"]),
            (&json!("Tool 7"), &json!("Tool 7"))
        );
        assert_eq!(shown["suggestions"][7]["label"], "Tool 7 · Working");
        assert_eq!((&shown["hint"], shown.get("options")), (&json!("Its name. Working."), None));
        let unknown = many.field("nobody", &[], &Follows::Nothing);
        assert_eq!(unknown["value"], "nobody", "it stays as it was typed");
        assert_eq!(many.find(" tool 9 ").map(|found| found.id.as_str()), Some("crd_9"));
    }

    #[test]
    fn a_choice_that_brings_other_fields_says_so() {
        let refresh = json!({ "url": "/x", "target": "fields" });
        let (few, many) = (choices(2), choices(DROP_DOWN_MAX + 1));
        for (choices, follows, hint, asks) in [
            (&few, Follows::Nothing, "Shown with its status.", false),
            (&few, Follows::Preview(&refresh), "Shown with its status.", true),
            (&few, Follows::Fields(&refresh), "The fields below change with your choice.", true),
            (&many, Follows::Preview(&refresh), "Its name. Working.", true),
            (
                &many,
                Follows::Fields(&refresh),
                "Its name. Working. The fields below change with your choice.",
                true,
            ),
        ] {
            let shown = choices.field("crd_1", &[], &follows);
            assert_eq!((&shown["hint"], shown["refresh"].is_object()), (&json!(hint), asks));
        }
    }
}
