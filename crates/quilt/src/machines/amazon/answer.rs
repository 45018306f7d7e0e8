//! Answers of EC2's API, which are XML.

use roxmltree::{Document, Node, ParsingOptions};

use crate::machines::ProviderError;

/// Most elements of an answer.
const NODES_MAX: u32 = 2_000_000;

/// An answer that is well-formed.
#[derive(Debug)]
pub(super) struct Answer {
    action: &'static str,
    text: String,
}

fn parse(text: &str) -> Result<Document<'_>, roxmltree::Error> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    Document::parse_with_options(text, options)
}

impl Answer {
    /// Reads an answer to `action`: an element called `actionResponse`.
    pub(super) fn read(action: &'static str, text: String) -> Result<Answer, ProviderError> {
        let wrong = |reason: String| ProviderError::Answer { action, reason };
        let name = match parse(&text) {
            Ok(document) => document.root_element().tag_name().name().to_owned(),
            Err(error) => return Err(wrong(error.to_string())),
        };
        if name != format!("{action}Response") {
            return Err(wrong(format!("it is a {}", name.escape_debug())));
        }
        Ok(Answer { action, text })
    }

    /// Code and message of a refusal.
    pub(super) fn refusal(text: &str) -> Option<(String, String)> {
        let document = parse(text).ok()?;
        let error = document.descendants().find(|node| node.has_tag_name("Error"))?;
        Some((text_of(error, "Code")?.to_owned(), text_of(error, "Message").unwrap_or_default().to_owned()))
    }

    /// What `read` makes of it.
    pub(super) fn with<T>(&self, read: impl FnOnce(Node<'_, '_>) -> T) -> Result<T, ProviderError> {
        let document = parse(&self.text)
            .map_err(|error| ProviderError::Answer { action: self.action, reason: error.to_string() })?;
        Ok(read(document.root_element()))
    }

    /// Something that the answer must have.
    pub(super) fn must<T>(
        &self,
        what: &str,
        read: impl FnOnce(Node<'_, '_>) -> Option<T>,
    ) -> Result<T, ProviderError> {
        let reason = format!("it has no {what}");
        self.with(read)?.ok_or(ProviderError::Answer { action: self.action, reason })
    }
}

/// The member of that name; names of other namespaces are none.
pub(super) fn member<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.is_element() && child.tag_name().name() == name)
}

/// The text of the member of that name.
pub(super) fn text_of<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    member(node, name)?.text().map(str::trim).filter(|text| !text.is_empty())
}

/// The items of the list of that name.
pub(super) fn items<'a, 'i>(node: Node<'a, 'i>, name: &str) -> impl Iterator<Item = Node<'a, 'i>> {
    let list = member(node, name).into_iter();
    list.flat_map(|list| {
        list.children().filter(|child| child.is_element() && child.tag_name().name() == "item")
    })
}

/// The value of a tag.
pub(super) fn tag<'a>(node: Node<'a, '_>, key: &str) -> Option<&'a str> {
    items(node, "tagSet").find(|tag| text_of(*tag, "key") == Some(key)).and_then(|tag| text_of(tag, "value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_what_is_none_is_an_error() {
        let text = "<RunInstancesResponse xmlns='http://ec2/'><a><item><b> 1 </b></item><item/></a></RunInstancesResponse>";
        let answer = Answer::read("RunInstances", text.into()).unwrap();
        assert_eq!(answer.with(|root| items(root, "a").count()).unwrap(), 2);
        let first = answer
            .must("b", |root| items(root, "a").next().and_then(|one| text_of(one, "b").map(str::to_owned)));
        assert_eq!(first.unwrap(), "1");
        let error = answer.must::<()>("c", |_| None).unwrap_err();
        assert_eq!(error.to_string(), "the answer to RunInstances makes no sense: it has no c");
        for wrong in
            ["", "<a>", "<html/>", "<!DOCTYPE a [<!ENTITY b 'c'>]><RunInstancesResponse/>", "\u{0}", "{}"]
        {
            assert!(Answer::read("RunInstances", wrong.into()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_refusal_has_a_code() {
        let text = "<Response><Errors><Error><Code>Throttling</Code><Message>slow</Message></Error></Errors></Response>";
        assert_eq!(Answer::refusal(text), Some(("Throttling".into(), "slow".into())));
        assert_eq!(Answer::refusal("<a/>"), None);
        assert_eq!(Answer::refusal("oops"), None);
    }
}
